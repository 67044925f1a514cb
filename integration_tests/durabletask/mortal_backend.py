"""A backend in a process of its own, to be killed: `python mortal_backend.py JOURNAL PORT`."""

import sys
import threading
from datetime import timedelta

from steprig.durabletask import create_test_backend
from steprig.kernel import SqliteJournal


def main(path: str, port: int) -> None:
    journal = SqliteJournal(path)
    with create_test_backend(port, journal=journal, lease_grace=0.2) as backend:
        print(backend.port, flush=True)
        threading.Event().wait(timedelta(minutes=5).total_seconds())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
