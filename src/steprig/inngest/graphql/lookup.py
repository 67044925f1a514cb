"""Finding what a query names."""

from typing import TypeAlias

from graphql import GraphQLError, GraphQLResolveInfo

from steprig.inngest.expressions import ExpressionError
from steprig.inngest.functions import App
from steprig.inngest.ids import app_uuid
from steprig.inngest.platform import InngestPlatform
from steprig.inngest.projection import InngestRun
from steprig.inngest.routes.run_search import Query

Info: TypeAlias = GraphQLResolveInfo[InngestPlatform]

NO_EVENT = "sql: no rows in result set"
_NO_RUN = "error retrieving run: sql: no rows in result set"


def run_by_id(platform: InngestPlatform, run_id: str) -> InngestRun:
    """A run.

    Raises:
        GraphQLError: There is none with this id.
    """
    run = platform.timeline.run(run_id)
    if not isinstance(run, InngestRun):
        raise GraphQLError(_NO_RUN)
    return run


def app_by_id(platform: InngestPlatform, ident: str) -> App | None:
    """The app with this UUID."""
    return next((app for app in platform.engine.apps if str(app_uuid(app.name)) == ident.lower()), None)


def search(platform: InngestPlatform, text: str | None) -> Query:
    """The search that `filter.query` asks for.

    Raises:
        GraphQLError: It does not compile.
    """
    try:
        return Query(text, platform.rig.clock.now())
    except ExpressionError as error:
        raise GraphQLError(f"filter.query: {error}") from error
