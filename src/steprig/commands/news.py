"""What a dev server tells whoever watches its terminal: apps that register, and runs that end."""

from collections.abc import Callable

from steprig.inngest.records import AppRemoved, AppSynced, RunEnded
from steprig.kernel import Record, Stream, Timeline
from steprig.kernel.tree import run_tree

Say = Callable[[str | Callable[[], str]], None]


class News:
    """Listens to a dev server's journal, and says what is new.

    Args:
        say: Takes a text, or what makes one later; it must not block.
        runs: Where runs that have ended are looked up, to be shown with their steps; None to leave runs out.
    """

    def __init__(self, say: Say, runs: Timeline | None = None) -> None:
        self._say = say
        self._runs = runs

    def appended(self, record: Record) -> None:
        """See `JournalListener`."""
        match record.entry:
            case AppSynced(app=app):
                count = f"{len(app.functions)} function{'' if len(app.functions) == 1 else 's'}"
                self._say(f"synced {app.name}: {count} at {app.url}")
            case AppRemoved(name=name):
                self._say(f"removed {name}")
            case RunEnded() if self._runs is not None:
                self._say_run(self._runs, record.stream.partition(":")[2])

    def dropped(self, stream: Stream) -> None:
        """See `JournalListener`. What is forgotten is no news."""

    def _say_run(self, runs: Timeline, run_id: str) -> None:
        # Read later: the timeline may not have heard of this record yet.
        def tree() -> str:
            run = runs.run(run_id)
            return "" if run is None else run_tree(run)

        self._say(tree)
