"""What a web runner is told; the names are those of the testing SDK's own."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import msgspec

from steprig.aws import limits
from steprig.aws.errors import DurableFunctionsTestError
from steprig.aws.functions import Target
from steprig.aws.stores import FileSystemExecutionStore, InMemoryExecutionStore, SQLiteExecutionStore
from steprig.kernel import Journal

DEFAULT_PORT = 5000
MAX_REQUEST_SIZE = 16 * 1024 * 1024
"""Room for a payload of the largest size whose every third character is escaped in JSON."""


class StoreType(StrEnum):
    """Where executions are kept."""

    MEMORY = "memory"
    FILESYSTEM = "filesystem"
    """In a directory, which gets an SQLite database."""
    SQLITE = "sqlite"


class DurableConfig(msgspec.Struct, frozen=True, rename="pascal"):
    """What makes a function durable."""

    execution_timeout: int | None = None
    """Seconds."""
    retention_period_in_days: int = 1


class FunctionConfig(msgspec.Struct, frozen=True, rename="pascal"):
    """A function that lives behind the Lambda endpoint."""

    durable_config: DurableConfig | None = None

    def target(self, name: str, execution_timeout: int | None = None) -> Target:
        """The function as it is found to be invoked; `execution_timeout` for one that has none of its own."""
        if (config := self.durable_config) is None:
            return Target(name, durable=False)
        timeout = config.execution_timeout if config.execution_timeout is not None else execution_timeout
        return Target(
            name,
            durable=True,
            execution_timeout=limits.CHILD_EXECUTION_TIMEOUT if timeout is None else timeout,
            timeout_by_clock=timeout is not None,
            retention_days=config.retention_period_in_days,
        )


def function_configs(configs: Mapping[str, object]) -> dict[str, FunctionConfig]:
    """Configurations from what they are in JSON.

    Args:
        configs: For the name of each function nothing or `{}`, or `{"DurableConfig": {"ExecutionTimeout": seconds,
            "RetentionPeriodInDays": days}}` for a durable one, with either left out or not.

    Raises:
        DurableFunctionsTestError: They are not such.
    """
    try:
        return {name: msgspec.convert(config or {}, FunctionConfig) for name, config in configs.items()}
    except msgspec.ValidationError as error:
        raise DurableFunctionsTestError(f"function configs: {error}") from error


@dataclass(frozen=True)
class WebServiceConfig:
    """Where a server listens.

    Attributes:
        host: The address to bind.
        port: 0 for any free one.
        log_level: How much of its own requests it logs: `info` for a line each.
        max_request_size: Bytes of the largest body that is taken in.
    """

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    log_level: str | int = "warning"
    max_request_size: int = MAX_REQUEST_SIZE


@dataclass(frozen=True)
class WebRunnerConfig:
    """What a server is.

    Attributes:
        web_service: Where it listens.
        lambda_endpoint: Where functions are called that are not registered: SAM's `http://127.0.0.1:3001`, for one.
        local_runner_endpoint: The URL by which handlers in other processes find this server, if not by the one that
            it listens on: behind a proxy, or seen from a container. `WebRunner.environment` tells them.
        local_runner_region: Of the ARNs.
        local_runner_mode: `local`, as there is no other.
        store_type: Where executions are kept.
        store_path: The file of an SQLite store, or the directory. Nothing for a store in memory.
        execution_timeout_seconds: How long an execution may take, on the clock, of a function that has no timeout of
            its own. Without it one may take 120 real seconds.
        invocation_timeout_seconds: How long one call of a function may take, from when its process is ready.
        skip_time: True to let waits and retries take no time.
        max_invocation_page_bytes: How much of the payloads an invocation is handed at once; 5 MiB unless told.
        function_configs: The functions behind the Lambda endpoint; see `function_configs`.
        account_id: Of the ARNs.
    """

    web_service: WebServiceConfig = WebServiceConfig()
    lambda_endpoint: str | None = None
    local_runner_endpoint: str | None = None
    local_runner_region: str = "us-west-2"
    local_runner_mode: str = "local"
    store_type: StoreType | str = StoreType.MEMORY
    store_path: str | Path | None = None
    execution_timeout_seconds: int | None = None
    invocation_timeout_seconds: int = limits.INVOCATION_TIMEOUT
    skip_time: bool = False
    max_invocation_page_bytes: int | None = None
    function_configs: Mapping[str, object] = field(default_factory=dict)
    account_id: str = "123456789012"

    def __post_init__(self) -> None:
        """Refuse what could have no effect, or not the one that is asked for. Raises `DurableFunctionsTestError`."""
        if self.local_runner_mode != "local":
            raise DurableFunctionsTestError(f"local_runner_mode can be 'local' alone, not {self.local_runner_mode!r}")
        endpoint = self.local_runner_endpoint
        if endpoint is not None and not endpoint.startswith(("http://", "https://")):
            message = f"local_runner_endpoint has to be a URL such as http://127.0.0.1:5000, not {endpoint!r}"
            raise DurableFunctionsTestError(message)
        timeout = self.execution_timeout_seconds
        if timeout is not None and timeout not in limits.DELAY_SECONDS:
            most = limits.DELAY_SECONDS.stop - 1
            raise DurableFunctionsTestError(f"execution_timeout_seconds has to be from 1 to {most}, not {timeout}")

    def journal(self) -> Journal:
        """The store, opened.

        Raises:
            DurableFunctionsTestError: There is no such type of store, or it has no use for a path.
            JournalFileError: The file cannot be used.
        """
        try:
            kind = StoreType(self.store_type)
        except ValueError:
            message = f"store_type must be one of {', '.join(StoreType)}, not {self.store_type!r}"
            raise DurableFunctionsTestError(message) from None
        match kind:
            case StoreType.MEMORY:
                if self.store_path is not None:
                    message = f"store_path={str(self.store_path)!r} is of no use in memory; choose another store_type"
                    raise DurableFunctionsTestError(message)
                return InMemoryExecutionStore()
            case StoreType.SQLITE:
                return SQLiteExecutionStore.create_and_initialize(self.store_path)
            case StoreType.FILESYSTEM:
                return FileSystemExecutionStore.create(self.store_path)
