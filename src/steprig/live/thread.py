"""One life of a uvicorn server: a thread with a loop of its own, from start to the last trace."""

import asyncio
import concurrent.futures
import contextlib
import os
import socket
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from steprig.live.deadline import Deadline
from steprig.live.serving import AppConfig, ServingServer
from steprig.live.stacks import task_stacks, thread_stack
from steprig.live.uvicorn_logs import ServerLog, records_go_to

_LEAST_WAIT = 0.05
"""Seconds that what was cancelled gets to end, even where the deadline has passed."""


class _Executor(concurrent.futures.ThreadPoolExecutor):
    """A default executor that knows whether it was ever used: an unused one has nothing to join."""

    used = False

    def submit(self, *args: Any, **kwargs: Any) -> "concurrent.futures.Future[Any]":
        self.used = True
        return super().submit(*args, **kwargs)


class ServerThread:
    """Runs a server once. `settled` is set as soon as it is ready or has failed, whichever it is.

    Args:
        name: of the thread.
        make_config: makes the configuration; called in the thread, as it may run user code.
        sockets: that listen already; None where uvicorn binds (unix sockets). Closed at the end.
        log: where the server's log goes.
        shutdown_timeout: seconds, for a server that ends by itself.
    """

    def __init__(
        self,
        name: str,
        make_config: Callable[[], AppConfig],
        sockets: list[socket.socket] | None,
        log: ServerLog,
        shutdown_timeout: float,
    ) -> None:
        self.settled = threading.Event()
        self.ended = threading.Event()
        self.ready = False
        self.failure: BaseException | None = None
        self.left_over: list[str] = []
        self.loop: asyncio.AbstractEventLoop | None = None
        self.server: ServingServer | None = None
        self._make_config = make_config
        self._sockets = sockets
        self._log = log
        self._shutdown_timeout = shutdown_timeout
        self._lock = threading.Lock()
        self._main: asyncio.Task[None] | None = None
        self._stop_by: Deadline | None = None
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread; then wait for `settled`."""
        try:
            self._thread.start()
        except RuntimeError:  # There are too many threads.
            self._finish()
            raise

    def stop(self, deadline: Deadline) -> None:
        """Ask for the end, by the deadline: of the serving, or of a start-up that is not done yet.

        May be called from any thread, any number of times; the first deadline stands.
        """
        with self._lock:
            if self._stop_by is not None:
                return
            self._stop_by = deadline
            if self.loop is not None:
                self.loop.call_soon_threadsafe(self._stop_in_loop, deadline)

    def join(self, timeout: float) -> bool:
        """Wait until the thread has ended, at most `timeout` seconds; whether it has."""
        deadline = Deadline.after(timeout)
        # One who stops a server in the moment of its start may come before the thread does.
        if not self.ended.wait(timeout):
            return False
        if self._thread.ident is not None:
            self._thread.join(deadline.remaining)
        return not self._thread.is_alive()

    @property
    def is_serving(self) -> bool:
        """Whether requests are being served now."""
        server = self.server
        return not self.is_foreign and self._thread.is_alive() and server is not None and server.serving

    @property
    def is_over(self) -> bool:
        """Whether it serves no more: it has ended, or is about to."""
        return self.ended.is_set() or (self.ready and not self.is_serving)

    @property
    def is_stopping(self) -> bool:
        """Whether the end was asked for."""
        return self._stop_by is not None

    @property
    def is_current(self) -> bool:
        """Whether the caller runs in this server's thread."""
        return threading.current_thread() is self._thread

    @property
    def is_foreign(self) -> bool:
        """Whether this is the copy in a forked child, which has the descriptors but no thread."""
        return os.getpid() != self._pid

    def whereabouts(self) -> str:
        """Where the thread and the tasks of its loop stand."""
        text = f"--- thread {self._thread.name} ---\n{thread_stack(self._thread)}"
        loop = self.loop
        if loop is not None:
            tasks = {task for task in asyncio.all_tasks(loop) if task is not self._main}
            text += f"--- tasks ---\n{task_stacks(tasks)}" if tasks else ""
        return text.rstrip()

    def refuse_clients(self) -> None:
        """End the listening of a thread that is stuck, so that clients are refused, not left waiting."""
        for sock in self._sockets or []:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    # All below runs in the thread.

    def _run(self) -> None:
        try:
            with records_go_to(self._log):
                self._live()
        except BaseException as error:  # noqa: BLE001 - whatever it is, `start` or `stop` reports it.
            self._fail(error)
        finally:
            self._finish()

    def _live(self) -> None:
        config = self._make_config()
        loop = (config.get_loop_factory() or asyncio.new_event_loop)()
        executor = _Executor(thread_name_prefix=f"{self._thread.name} worker")
        loop.set_default_executor(executor)
        try:
            self._run_to_the_end(loop, self._serve(config))
            self._join_workers(loop, [executor if executor.used else None, config.executor])
        finally:
            with self._lock:
                self.loop = None
            executor.shutdown(wait=False)
            loop.close()

    def _run_to_the_end(self, loop: asyncio.AbstractEventLoop, serve: Coroutine[Any, Any, None]) -> None:
        main = self._main = loop.create_task(serve, name="server")
        with self._lock:
            self.loop = loop
            if self._stop_by is not None:
                main.cancel()
        while not main.done():
            try:
                loop.run_until_complete(main)
            except BaseException as error:  # noqa: BLE001
                # A task that the application started has raised SystemExit or KeyboardInterrupt,
                # which a loop lets through. The server ends, but by the front door.
                self._fail(error)
                self._stop_in_loop(Deadline.after(self._shutdown_timeout))
        self._main = None

    def _stop_in_loop(self, deadline: Deadline) -> None:
        if self.server is not None and self.server.started:
            self.server.stop(deadline)
        elif self._main is not None:
            self._main.cancel()

    async def _serve(self, config: AppConfig) -> None:
        try:
            self.server = ServingServer(config, self._announce, self._shutdown_timeout)
            await self.server.serve(self._sockets)
        except BaseException as error:  # noqa: BLE001 - uvicorn exits by SystemExit, a stop cancels.
            self._fail(error)
        await self._end_tasks()

    def _announce(self) -> None:
        self.ready = True
        self.settled.set()

    def _fail(self, error: BaseException) -> None:
        self.failure = self.failure or error

    def _time_left(self) -> float:
        deadline = self.server.deadline if self.server is not None else None
        return max(_LEAST_WAIT, (deadline or self._stop_by or Deadline.after(0.5)).remaining)

    async def _end_tasks(self) -> None:
        """Cancel what still runs. `asyncio.run` would wait for ever for a task that refuses."""
        current = asyncio.current_task()
        tasks = [task for task in asyncio.all_tasks() if task is not current]
        for task in tasks:
            task.cancel()
        if tasks:
            _, pending = await asyncio.wait(tasks, timeout=self._time_left())
            for task in pending:
                self._leave(task)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._time_left()):
                await asyncio.get_running_loop().shutdown_asyncgens()

    def _leave(self, task: "asyncio.Task[Any]") -> None:
        self.left_over.append(f"a task that does not let itself be cancelled: {task_stacks({task})}")
        # It is reported here; asyncio would report it a second time, whenever it is collected.
        task._log_destroy_pending = False  # type: ignore[attr-defined]

    def _join_workers(self, loop: asyncio.AbstractEventLoop, executors: list[Any]) -> None:
        """Wait for the worker threads of this loop, within the deadline."""
        name = f"{self._thread.name} executor"
        joiners = [
            threading.Thread(target=executor.shutdown, name=name, daemon=True)
            for executor in executors
            if executor is not None
        ]
        for joiner in joiners:
            joiner.start()
        # anyio's worker threads (Starlette's for `def` endpoints) were told to end with the main task.
        anyio_workers = [thread for thread in threading.enumerate() if getattr(thread, "loop", None) is loop]
        for thread in joiners + anyio_workers:
            thread.join(self._time_left())
            if thread.is_alive():
                self.left_over.append(f"a worker thread that is still busy: {thread.name}")

    def _finish(self) -> None:
        for sock in self._sockets or []:
            sock.close()
        self.ended.set()
        self.settled.set()
