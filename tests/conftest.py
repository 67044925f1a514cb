"""Imports once what projects in these tests import.

pytester removes from `sys.modules` whatever a run in this process has imported. What is imported again after that
exists twice, and an `httpcore` that exists twice raises errors that `httpx` does not recognise.
"""

import importlib
import warnings

import httpx

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the SDK defines its models in a way that pydantic will drop
    for name in (
        "aiohttp",
        "anyio._backends._asyncio",
        "boto3.session",
        "fastapi",
        "grpc",
        "httpcore",
        "inngest.fast_api",
        "steprig.aws.web_test_runner",
        "steprig.durabletask.task_hub",
        "steprig.inngest.dev_server",
        "steprig.inngest.sync_client",
        "steprig.kernel",
        "steprig.live.process",
        "steprig.live.uvicorn",
        "steprig.plugin.aws",
        "steprig.plugin.durabletask",
        "steprig.plugin.inngest",
    ):
        importlib.import_module(name)

httpx.Client().close()
