"""What the fixture of durable functions does; imported when it is used."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import pytest

from steprig.aws import (
    DurableFunctionCloudTestRunner,
    DurableFunctionTestRunner,
    DurableFunctionWebTestRunner,
)
from steprig.aws.handlers import body_of
from steprig.kernel import Clock, Journal, Timeline
from steprig.plugin.reports import FailureReports, Watched

MODES = ("local", "web", "cloud")
DurableRunner = DurableFunctionTestRunner | DurableFunctionCloudTestRunner
Handler = Callable[..., Any]

_RUNNERS: Mapping[str, Callable[..., DurableRunner]] = {
    "local": DurableFunctionTestRunner,
    "web": DurableFunctionWebTestRunner,
    "cloud": DurableFunctionCloudTestRunner,
}
_GIVEN = {"handler", "function_name"}
"""Options that are not the test's to choose."""


class DurableFunctionRunners:
    """The fixture `durable_function_runner`: called with a handler, it makes a runner that is closed with the test.

    Attributes:
        mode: `local`, `web` or `cloud`, for a test that has to know.
    """

    def __init__(
        self,
        mode: str,
        deployed: Sequence[str],
        opened: ExitStack,
        reports: FailureReports,
        clock: Clock | None,
    ) -> None:
        if mode not in MODES:
            raise pytest.UsageError(f"--steprig-aws={mode}: expected {', '.join(MODES[:-1])} or {MODES[-1]}")
        self.mode = mode
        self._deployed = _by_handler(deployed)
        self._opened = opened
        self._reports = reports
        self._clock = clock
        self._watched: list[Watched] = []

    def __call__(self, handler: Handler, *, deployed_as: str | None = None, **options: Any) -> DurableRunner:
        """Make a runner of a function.

        Args:
            handler: Decorated with `@durable_execution`. Where functions are deployed, its name says which is meant.
            deployed_as: Name or ARN of the deployed function, instead of what the options and the ini file say.
            **options: As for the runner of the mode: `DurableFunctionTestRunner`, `DurableFunctionWebTestRunner` or
                `DurableFunctionCloudTestRunner`.

        Raises:
            pytest.UsageError: The runner of this mode takes no such option, or nobody says what is deployed.
        """
        self._check(options)
        if self.mode == "cloud":
            name = deployed_as or self._name_of(handler)
            return self._opened.enter_context(DurableFunctionCloudTestRunner(name, **{"region": None, **options}))
        if self._clock is not None and options.get("skip_time", True):
            options.setdefault("clock", self._clock)
        runner = _RUNNERS[self.mode](handler, **options)
        self._opened.callback(runner.close)
        what = f"durable_function_runner, runner {len(self._watched) + 1}"
        self._watched.append(self._reports.watch(what, Shown(runner)))
        return runner

    def end(self) -> None:
        """Watch the runners no more."""
        for each in self._watched:
            each.is_gone = True

    def _check(self, options: Mapping[str, Any]) -> None:
        known = inspect.signature(_RUNNERS[self.mode]).parameters.keys() - _GIVEN
        for name in options:
            if name not in known:
                others = [mode for mode in MODES if name in inspect.signature(_RUNNERS[mode]).parameters]
                elsewhere = f"; with --steprig-aws={' or '.join(others)} there is" if others else ""
                raise pytest.UsageError(
                    f"durable_function_runner: with --steprig-aws={self.mode} there is no option {name!r}{elsewhere}. "
                    f"There are {', '.join(sorted(known))}."
                )

    def _name_of(self, handler: Handler) -> str:
        own = getattr(body_of(handler), "__name__", "")
        template = self._deployed.get(own) or self._deployed.get("")
        if template is None:
            raise pytest.UsageError(
                f"--steprig-aws=cloud: as what is {own} deployed? Say --steprig-aws-function={own}=NAME, or one name "
                "for all, such as --steprig-aws-function='shop-{handler}:$LATEST', in which {handler} stands for "
                f"{own}; or set the ini option steprig_aws_functions, or call durable_function_runner({own}, "
                "deployed_as=NAME)"
            )
        return template.replace("{handler}", own)


class Shown:
    """What the report of a failing test shows of a runner."""

    def __init__(self, runner: Any) -> None:
        self._runner = runner
        self.journal: Journal = runner.journal
        self.clock: Clock = runner.clock

    @property
    def logs(self) -> Sequence[str]:
        """What its server has logged, if it has one."""
        web = getattr(self._runner, "web", None)
        return () if web is None else list(web.logs)

    @property
    def timeline(self) -> Timeline:
        """Its executions."""
        timeline: Timeline = self._runner.timeline
        return timeline


def _by_handler(deployed: Sequence[str]) -> dict[str, str]:
    """The names of deployed functions by those of their handlers; that for all others by the empty one."""
    found: dict[str, str] = {}
    for given in deployed:
        handler, separator, name = given.partition("=")
        found.setdefault(*((handler.strip(), name.strip()) if separator else ("", given.strip())))
    return found
