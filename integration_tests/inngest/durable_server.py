"""A dev server whose runs outlive it, in a process of its own.

python durable_server.py <port> <file of the journal>
"""

import sys
import threading
from datetime import timedelta

from steprig.inngest.dev_server import DevServer
from steprig.kernel import SqliteJournal

if __name__ == "__main__":
    with DevServer(
        int(sys.argv[1]),
        strict_port=True,
        journal=SqliteJournal(sys.argv[2]),
        retry_interval=timedelta(seconds=0.1),
    ):
        print("ready", flush=True)
        threading.Event().wait()
