"""The GraphQL endpoint over HTTP."""

import logging
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from ariadne import graphql, make_executable_schema
from graphql import GraphQLError, GraphQLSchema
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from steprig.inngest.graphql.resolvers import TYPES
from steprig.inngest.platform import InngestPlatform
from steprig.inngest.routes.answers import Json
from steprig.inngest.wire import UNREADABLE

_log = logging.getLogger(__name__)


def _is_a_fault(record: logging.LogRecord) -> bool:
    """Not what a resolver answers with on purpose: asking for a run that is not there yet is no error of anybody."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, GraphQLError) or not isinstance(error.original_error, GraphQLError | None)


_log.addFilter(_is_a_fault)


@cache
def _schema() -> GraphQLSchema:
    """The schema, made once for all servers of the process: that takes longer than a server's start."""
    return make_executable_schema(Path(__file__).with_name("schema.graphql").read_text(), *TYPES)


def graphql_routes(platform: InngestPlatform) -> list[Route]:
    """The GraphQL endpoint."""
    schema = _schema()

    async def answer(request: Request) -> Response:
        try:
            query = msgspec.json.decode(await request.body(), type=dict[str, Any])
        except UNREADABLE as error:
            return _refusal(f"the body is no JSON object: {error}", 400, "BAD_REQUEST")
        _, result = await graphql(schema, query, context_value=platform, error_formatter=_error, logger=_log)
        if "data" in result:  # null where a field failed that may not be null, which makes no query invalid
            return Json(result)
        return Json({"errors": [_marked(error) for error in result.get("errors", ())], "data": None}, 422)

    return [Route("/v0/gql", answer, methods=["POST"])]


def _error(error: GraphQLError, debug: bool = False) -> dict[str, Any]:
    del debug
    shown: dict[str, Any] = {"message": error.message}
    if error.locations:
        shown["locations"] = [{"line": at.line, "column": at.column} for at in error.locations]
    if error.path:
        shown["path"] = error.path
    if error.extensions:
        shown["extensions"] = error.extensions
    return shown


def _marked(error: dict[str, Any]) -> dict[str, Any]:
    return {**error, "extensions": {"code": "GRAPHQL_VALIDATION_FAILED"}}


def _refusal(message: str, status: int, code: str) -> Response:
    return Json({"errors": [{"message": message, "extensions": {"code": code}}], "data": None}, status)
