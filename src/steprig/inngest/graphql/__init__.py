"""`POST /v0/gql`: runs, events and traces for the server's UI and for test clients."""

from steprig.inngest.graphql.route import graphql_routes

__all__ = ["graphql_routes"]
