"""Where executions are kept, by the names of the testing SDK's own stores. Each is a journal: pass it as `store`."""

from pathlib import Path
from typing import Self

from steprig.kernel import MemoryJournal, SqliteJournal


class InMemoryExecutionStore(MemoryJournal):
    """Keeps executions for as long as it is there."""


class SQLiteExecutionStore(SqliteJournal):
    """Keeps executions in an SQLite database."""

    @classmethod
    def create_and_initialize(cls, db_path: str | Path | None = None) -> Self:
        """Open a database, or make one.

        Args:
            db_path: Its file; `durable-executions.db` unless told.

        Raises:
            JournalFileError: The file cannot be used.
        """
        return cls(db_path or "durable-executions.db")


class FileSystemExecutionStore(SqliteJournal):
    """Keeps executions in a directory, which gets an SQLite database."""

    @classmethod
    def create(cls, storage_dir: str | Path | None = None) -> Self:
        """Open what is in a directory, which is made where there is none.

        Args:
            storage_dir: `.durable-executions` unless told.

        Raises:
            JournalFileError: The file in it cannot be used.
        """
        directory = Path(storage_dir or ".durable-executions")
        directory.mkdir(parents=True, exist_ok=True)
        return cls(directory / "executions.db")
