"""What can be started and stopped, as a context manager for plain and for async code."""

from abc import ABC, abstractmethod
from functools import partial
from types import TracebackType
from typing import Self

from steprig.live.errors import ServerShutdownError


class Managed(ABC):
    """Starts on entering and stops on leaving. `async with` waits in another thread, so that no loop stands still."""

    @abstractmethod
    def start(self) -> Self:
        """Returns itself once it serves."""

    @abstractmethod
    def stop(self) -> None:
        """End it. Idempotent.

        Raises:
            ServerShutdownError: It did not end cleanly.
        """

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        except ServerShutdownError as problem:
            if error is None:
                raise
            # The failure within is the news; it must not be hidden by this one.
            error.add_note(f"In addition: {problem}")

    async def __aenter__(self) -> Self:
        from steprig.live.in_thread import start_in_thread  # here, as anyio is not for everybody

        await start_in_thread(self.start, self.stop)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        from steprig.live.in_thread import stop_in_thread

        await stop_in_thread(partial(self.__exit__, kind, error, trace))
