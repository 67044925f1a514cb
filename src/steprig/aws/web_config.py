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

    def target(self, name: str) -> Target:
        """The function as chained invokes find it."""
        if (config := self.durable_config) is None:
            return Target(name, durable=False)
        return Target(
            name,
            durable=True,
            execution_timeout=config.execution_timeout or limits.CHILD_EXECUTION_TIMEOUT,
            timeout_by_clock=config.execution_timeout is not None,
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
        local_runner_endpoint: Where handlers elsewhere are to find this server; nothing is derived from it here.
        local_runner_region: Of the ARNs.
        local_runner_mode: Taken for the sake of code that gives it.
        store_type: Where executions are kept.
        store_path: The file of an SQLite store, or the directory.
        invocation_timeout_seconds: How long one call of a function may take.
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
    invocation_timeout_seconds: int = limits.INVOCATION_TIMEOUT
    skip_time: bool = False
    max_invocation_page_bytes: int | None = None
    function_configs: Mapping[str, object] = field(default_factory=dict)
    account_id: str = "123456789012"

    def journal(self) -> Journal:
        """The store, opened.

        Raises:
            DurableFunctionsTestError: There is no such type of store.
            JournalFileError: The file cannot be used.
        """
        try:
            kind = StoreType(self.store_type)
        except ValueError:
            message = f"store_type must be one of {', '.join(StoreType)}, not {self.store_type!r}"
            raise DurableFunctionsTestError(message) from None
        match kind:
            case StoreType.MEMORY:
                return InMemoryExecutionStore()
            case StoreType.SQLITE:
                return SQLiteExecutionStore.create_and_initialize(self.store_path)
            case StoreType.FILESYSTEM:
                return FileSystemExecutionStore.create(self.store_path)
