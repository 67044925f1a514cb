"""Test Inngest functions: a dev server in this process or the real one, a client that asks it, and a test kit.

The names below are imported on first use, so that ``import steprig.inngest`` costs nothing.
"""

from typing import TYPE_CHECKING

from steprig.lazy import lazy_names

if TYPE_CHECKING:
    from steprig.inngest.cli_server import InngestCliError, InngestCliServer
    from steprig.inngest.client import DevServerClient
    from steprig.inngest.client_model import HistoryStep, Run, RunStatus, StepError, StepOutput, ended_statuses
    from steprig.inngest.default_server import EnvironmentServer, server
    from steprig.inngest.dev_server import DevServer
    from steprig.inngest.server_like import DevServerLike, RunningDevServer
    from steprig.inngest.settings import Settings, SettingsError
    from steprig.inngest.signing import SignatureError
    from steprig.inngest.sync_client import SyncDevServerClient
    from steprig.inngest.syncing import SyncError
    from steprig.inngest.testing import (
        BaseState,
        Case,
        create_event_name,
        create_fn_id,
        create_test_name,
        wait_for,
        wait_for_sync,
    )
    from steprig.inngest.testing_signatures import sign_request, validate_response_sig
    from steprig.inngest.waiting_errors import (
        DevServerClientError,
        DevServerUnreachableError,
        NoStepOutputError,
        UnexpectedRunCountError,
        UnexpectedStatusError,
        WaitTimeoutError,
    )

__all__ = [
    "BaseState",
    "Case",
    "DevServer",
    "DevServerClient",
    "DevServerClientError",
    "DevServerLike",
    "DevServerUnreachableError",
    "EnvironmentServer",
    "HistoryStep",
    "InngestCliError",
    "InngestCliServer",
    "NoStepOutputError",
    "Run",
    "RunStatus",
    "RunningDevServer",
    "Settings",
    "SettingsError",
    "SignatureError",
    "StepError",
    "StepOutput",
    "SyncDevServerClient",
    "SyncError",
    "UnexpectedRunCountError",
    "UnexpectedStatusError",
    "WaitTimeoutError",
    "create_event_name",
    "create_fn_id",
    "create_test_name",
    "ended_statuses",
    "server",
    "sign_request",
    "validate_response_sig",
    "wait_for",
    "wait_for_sync",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "cli_server": ("InngestCliError", "InngestCliServer"),
        "client": ("DevServerClient",),
        "client_model": ("HistoryStep", "Run", "RunStatus", "StepError", "StepOutput", "ended_statuses"),
        "default_server": ("EnvironmentServer", "server"),
        "dev_server": ("DevServer",),
        "server_like": ("DevServerLike", "RunningDevServer"),
        "settings": ("Settings", "SettingsError"),
        "signing": ("SignatureError",),
        "sync_client": ("SyncDevServerClient",),
        "syncing": ("SyncError",),
        "testing": (
            "BaseState",
            "Case",
            "create_event_name",
            "create_fn_id",
            "create_test_name",
            "wait_for",
            "wait_for_sync",
        ),
        "testing_signatures": ("sign_request", "validate_response_sig"),
        "waiting_errors": (
            "DevServerClientError",
            "DevServerUnreachableError",
            "NoStepOutputError",
            "UnexpectedRunCountError",
            "UnexpectedStatusError",
            "WaitTimeoutError",
        ),
    },
    extra="inngest",
)
