"""Asking the dev server's GraphQL face, as a browser does."""

from typing import Any

from .stage import Stage

LONG_AGO = "2000-01-01T00:00:00Z"


class GraphQL:
    """Sends queries to the server of a stage."""

    def __init__(self, stage: Stage) -> None:
        self._http = stage.http

    def answer(self, query: str, **variables: Any) -> Any:
        """The whole answer, which must not be a refusal."""
        return (
            self._http.post("/v0/gql", json={"query": query, "variables": variables}, timeout=20)
            .raise_for_status()
            .json()
        )

    def data(self, query: str, **variables: Any) -> Any:
        """What was asked for."""
        answer = self.answer(query, **variables)
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    def error(self, query: str, **variables: Any) -> str:
        """The message of the one error that comes instead."""
        answer = self.answer(query, **variables)
        (error,) = answer["errors"]
        return str(error["message"])
