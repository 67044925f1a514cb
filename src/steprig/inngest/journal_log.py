"""A file with a line for everything that a dev server records."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from steprig.kernel import Journal, Record, Stream


class JournalLog:
    """Writes records to a file as they come: time, stream, what has happened, and its JSON.

    Args:
        journal: Listened to until `close`.
        file: Added to; its directory is made.
        title: The first line.

    Raises:
        OSError: The file cannot be written.
    """

    def __init__(self, journal: Journal, file: Path, title: str) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        # Line by line, so that the file can be followed, and is there after a crash.
        self._file = file.open("a", buffering=1, encoding="utf-8")
        self.write(title)
        self._stop_listening = journal.listen(self)

    def write(self, text: str) -> None:
        """Add a line with the machine's time, where records have the server's."""
        self._file.write(f"{datetime.now(UTC).isoformat()} {text}\n")

    def close(self, last_lines: Iterable[str] = ()) -> None:
        """Write no more than these lines."""
        self._stop_listening()
        for line in last_lines:
            self.write(line)
        self._file.close()

    def appended(self, record: Record) -> None:
        """See `JournalListener`."""
        entry = msgspec.json.encode(record.entry).decode()
        self._file.write(f"{record.at.isoformat()} {record.stream} {type(record.entry).__name__} {entry}\n")

    def dropped(self, stream: Stream) -> None:
        """What the journal forgets stays in the file."""
