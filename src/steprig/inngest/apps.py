"""The apps that have synced, and which functions an event starts: a fold over the app streams."""

from collections.abc import Iterator
from typing import NamedTuple

from steprig.inngest.flow.policy import Policy, policy_of
from steprig.inngest.functions import App, AppName, Function, Slug, Trigger
from steprig.inngest.ids import function_uuid
from steprig.inngest.records import APP, AppRemoved, AppSynced
from steprig.kernel import Journal, Record, Stream, kind_of
from steprig.kernel.journal import records_of


class Registered(NamedTuple):
    """A function and the app that it belongs to."""

    app: App
    function: Function
    policy: Policy


class Apps:
    """What is registered now. Changes only as the journal does.

    Args:
        journal: Read at once, listened to from then on.
    """

    def __init__(self, journal: Journal) -> None:
        self._apps: dict[AppName, App] = {}
        self._functions: dict[Slug, Registered] = {}
        self._archived: dict[Slug, Registered] = {}
        self._by_uuid: dict[str, Registered] = {}
        self._by_event: dict[str, list[tuple[Registered, Trigger]]] = {}
        self.close = journal.listen(self, (APP,))
        for record in records_of(journal, APP):
            self.appended(record)

    def __iter__(self) -> Iterator[App]:
        return iter(self._apps.values())

    def app(self, name: str) -> App | None:
        """The app with this name."""
        return self._apps.get(AppName(name))

    def function(self, slug: str) -> Registered | None:
        """The function with this id, of whichever app."""
        return self._functions.get(Slug(slug))

    def invocable(self, ident: str) -> Registered | None:
        """The function that an invocation names: by its id, or by its UUID."""
        return self.function(ident) or self._by_uuid.get(ident.lower())

    def last_known(self, slug: Slug) -> Registered:
        """The function with this id even if it is gone: runs that are under way go on."""
        return self._functions.get(slug) or self._archived[slug]

    def started_by(self, event_name: str) -> Iterator[tuple[Registered, Trigger]]:
        """The functions, with the trigger that says so, that events of this name may start.

        A trigger's name matches in full, or as `a/*` and `a/b.*` do.
        """
        for pattern in _patterns(event_name):
            yield from self._by_event.get(pattern, ())

    def appended(self, record: Record) -> None:
        """See `JournalListener`."""
        match record.entry:
            case AppSynced(app=app):
                self._apps[app.name] = app
            case AppRemoved(name=name):
                self._apps.pop(name, None)
            case _:
                return
        self._index()

    def dropped(self, stream: Stream) -> None:
        """See `JournalListener`. Streams of apps never end, so none of them is dropped."""
        assert kind_of(stream) != APP

    def _index(self) -> None:
        self._archived |= self._functions
        self._functions = {
            function.id: Registered(app, function, policy_of(function))
            for app in self._apps.values()
            for function in app.functions
        }
        self._by_uuid = {str(function_uuid(slug)): registered for slug, registered in self._functions.items()}
        self._by_event = {}
        for registered in self._functions.values():
            for trigger in registered.function.triggers:
                if trigger.event is not None:
                    self._by_event.setdefault(trigger.event, []).append((registered, trigger))


def _patterns(name: str) -> Iterator[str]:
    """The name, and each form of it that ends in a wildcard: for `a/b.c` these are `a/*` and `a/b.*`."""
    yield name
    for index, character in enumerate(name):
        if character in "/.":
            yield f"{name[: index + 1]}*"
