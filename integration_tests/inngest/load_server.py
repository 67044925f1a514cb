"""`steprig`, which also says for how long its dev server's loop is held up, whenever that is longer than before."""

import asyncio
import gc
import re
import time
from pathlib import Path
from typing import Any

import steprig.inngest
from steprig.cli import main
from steprig.inngest.dev_server import DevServer

_TICK = 0.002


class HeldUp:
    """The longest that a loop had no turn for others, in seconds of processor time.

    Others on the machine do not count, but the garbage collector does, whichever thread it runs in: no thread goes on
    meanwhile.
    """

    def __init__(self) -> None:
        self._longest = self._began = 0.0

    async def watch(self) -> None:
        gc.callbacks.append(self._collecting)
        before = time.thread_time()
        while True:
            await asyncio.sleep(_TICK)
            now = time.thread_time()
            self._note(now - before, "")
            before = now

    def _collecting(self, phase: str, info: dict[str, Any]) -> None:
        if phase == "start":
            self._began = time.thread_time()
        else:
            self._note(time.thread_time() - self._began, f" by the collector, generation {info['generation']}")

    def _note(self, seconds: float, by: str) -> None:
        if seconds > self._longest:
            self._longest = seconds
            print(f"held up for {seconds * 1000:.1f} ms{by}", flush=True)


class Watched(DevServer):
    """A dev server whose loop is watched, once it has started."""

    def start(self) -> "Watched":
        super().start()
        asyncio.run_coroutine_threadsafe(HeldUp().watch(), self._rig.loop)
        return self

    def stop(self) -> None:
        super().stop()
        # Not `getrusage`: its peak is also that of the process which has started this one.
        peak = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
        print(f"took {int(peak[1]) // 1024 if peak else 0} MiB", flush=True)


if __name__ == "__main__":
    steprig.inngest.DevServer = Watched  # type: ignore[misc]
    main()
