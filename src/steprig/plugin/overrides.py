"""Has `running_server` serve the application that the test at hand sees.

A session fixture is made once and then kept, whatever the test after it sees by the names that it
was made from. Where two test modules override `asgi_app`, the second one would be given the server
of the first. So a server that was made from another override is ended before such a test, and
pytest makes a new one, as it does when a fixture's parameter changes.
"""

from collections.abc import Sequence

import pytest

_USERS = {"running_server", "inngest_app"}
_MADE_FROM = ("asgi_app", "uvicorn_options")

_SCOPE_MISMATCH = """\
`running_server` serves one application for the whole session, but the fixture `{name}` that this test \
sees has the scope {scope!r}. Either

  - give that fixture the scope of a session: @pytest.fixture(scope="session")
  - or let the test use `fresh_server`, which takes a fixture of any scope.
"""

Definition = pytest.FixtureDef[object]


class ServerOfThisTest:
    """Plugin: keeps `running_server` to the overrides that a test sees."""

    def __init__(self) -> None:
        self._made_from: list[Definition] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """End the server if it was made from something else than this test would make it from.

        Raises:
            pytest.UsageError: what the test would make it from has a scope too narrow for that.
        """
        if not _uses_running_server(item):
            return
        sources = [_visible(name, item) for name in _MADE_FROM]
        for source in sources:
            if source.scope != "session":
                raise pytest.UsageError(_SCOPE_MISMATCH.format(name=source.argname, scope=source.scope))
        if self._made_from and not _same(self._made_from, sources):
            _visible("running_server", item).finish(item._request)  # type: ignore[attr-defined]
        self._made_from = sources


def _uses_running_server(item: pytest.Item) -> bool:
    """Whether it uses ours: one that a project has put in its place is that project's own affair."""
    names: Sequence[str] = getattr(item, "fixturenames", ())
    if _USERS.isdisjoint(names) or ("running_server" not in names and "fresh_server" in names):
        return False
    return set(_MADE_FROM) <= {*_visible("running_server", item).argnames}


def _visible(name: str, item: pytest.Item) -> Definition:
    """The fixture that an item sees by a name: the innermost override."""
    definitions: Sequence[Definition] | None = item.session._fixturemanager.getfixturedefs(name, item)
    if not definitions:
        raise LookupError(f"no fixture {name!r}")
    return definitions[-1]


def _same(before: list[Definition], now: list[Definition]) -> bool:
    return all(old is new for old, new in zip(before, now, strict=True))
