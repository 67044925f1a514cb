"""The stores by the names of the testing SDK's own, and where its names are found."""

from contextlib import closing

import pytest

from steprig import aws
from steprig.aws import (
    FileSystemExecutionStore,
    InMemoryExecutionStore,
    SQLiteExecutionStore,
    StoreType,
    WebRunnerConfig,
    runner,
)

from . import samples
from .samples import value


@pytest.mark.parametrize("module", [aws, runner])
def test_every_public_name_is_there(module):
    assert [name for name in module.__all__ if getattr(module, name).__name__ != name] == []
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = module.Nothing


@pytest.mark.parametrize(
    ("create", "file"),
    [
        (lambda path: SQLiteExecutionStore.create_and_initialize(path / "kept.db"), "kept.db"),
        (lambda path: FileSystemExecutionStore.create(path / "deep" / "kept"), "deep/kept/executions.db"),
    ],
)
def test_what_is_kept_is_there_for_the_next_process(runner_of, tmp_path, create, file):
    with closing(create(tmp_path)) as store:
        waiting = runner_of(samples.asks, store=store)
        arn = waiting.run_async("null")
        callback_id = waiting.wait_for_callback(arn)
        waiting.close()

    assert (tmp_path / file).exists()
    with closing(create(tmp_path)) as store:
        again = runner_of(samples.asks, store=store)
        assert again.resume() == [arn]
        again.send_callback_success(callback_id, b"yes")
        assert value(again.wait_for_result(arn)) == "yes"
        again.close()


def test_what_is_in_memory_is_there_as_long_as_the_store(runner_of):
    store = InMemoryExecutionStore()
    arn = runner_of(samples.adds, store=store).run({"left": 1, "right": 2}).execution_arn

    assert runner_of(samples.adds, store=store).get_execution_history(arn).events[-1].event_type == "ExecutionSucceeded"


@pytest.mark.parametrize(
    ("kind", "path", "made"),
    [
        (StoreType.MEMORY, None, InMemoryExecutionStore),
        ("sqlite", "kept.db", SQLiteExecutionStore),
        (StoreType.SQLITE, None, SQLiteExecutionStore),
        (StoreType.FILESYSTEM, "kept", FileSystemExecutionStore),
        ("filesystem", None, FileSystemExecutionStore),
    ],
)
def test_a_server_keeps_in_the_store_of_its_configuration(tmp_path, monkeypatch, kind, path, made):
    monkeypatch.chdir(tmp_path)

    with closing(WebRunnerConfig(store_type=kind, store_path=path).journal()) as journal:
        assert type(journal) is made

    kept = {file.name for file in tmp_path.iterdir() if not file.name.endswith(("-wal", "-shm"))}
    expected = {
        ("sqlite", None): {"durable-executions.db"},
        ("filesystem", None): {".durable-executions"},
    }
    assert kept == expected.get((kind, path), {path} - {None})
