"""What gives the schema's fields their values."""

from ariadne import UnionType

from steprig.inngest.graphql import app_queries, connection_queries, event_queries, mutations, run_queries, scalars

TYPES = (
    *app_queries.TYPES,
    *connection_queries.TYPES,
    *event_queries.TYPES,
    *run_queries.TYPES,
    *mutations.TYPES,
    *scalars.TYPES,
    UnionType("StepInfo", lambda value, *_: value["__typename"]),
)
