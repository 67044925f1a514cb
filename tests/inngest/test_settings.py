"""What the environment says about the dev server."""

from pathlib import Path

import pytest

from steprig.inngest import RunningDevServer, Settings, SettingsError, server


def test_an_empty_environment_asks_for_an_embedded_server_on_the_usual_port():
    settings = Settings.from_environ({})

    assert settings == Settings()
    assert (settings.backend, settings.origin) == ("embedded", "http://127.0.0.1:8288")
    assert (settings.enabled, settings.crons, settings.log_file) == (True, False, None)


def test_everything_that_can_be_said():
    settings = Settings.from_environ(
        {
            "DEV_SERVER_PORT": "9000",
            "DEV_SERVER_ENABLED": "0",
            "DEV_SERVER_LOGS": "1",
            "DEV_SERVER_VERSION": "1.4.0",
            "INNGEST_EVENT_KEY": "evt",
            "INNGEST_SIGNING_KEY": "signkey-test-ab",
            "INNGEST_SIGNING_KEY_FALLBACK": "signkey-test-cd",
            "ENABLE_CRONS": "true",
            "STEPRIG_INNGEST": "cli",
        }
    )

    assert settings == Settings(
        enabled=False,
        backend="cli",
        port=9000,
        log_file=Path("artifacts/dev_server.log"),
        version="1.4.0",
        event_key="evt",
        signing_key="signkey-test-ab",
        signing_key_fallback="signkey-test-cd",
        crons=True,
    )


def test_an_empty_value_is_no_value():
    names = ("DEV_SERVER_PORT", "DEV_SERVER_ENABLED", "INNGEST_BASE_URL", "STEPRIG_INNGEST", "INNGEST_EVENT_KEY")

    assert Settings.from_environ(dict.fromkeys(names, " ")) == Settings()


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("DEV_SERVER_PORT", "abc", "a port from 1 to 65535, or 0"),
        ("DEV_SERVER_PORT", "-1", "a port"),
        ("DEV_SERVER_PORT", "65536", "a port"),
        ("DEV_SERVER_PORT", "²", "a port"),
        ("DEV_SERVER_ENABLED", "maybe", "1 or 0"),
        ("DEV_SERVER_LOGS", "2", "1 or 0"),
        ("ENABLE_CRONS", "hourly", "1 or 0"),
        ("STEPRIG_INNGEST", "docker", "embedded, cli, or a URL"),
        ("STEPRIG_INNGEST", "ftp://host", "a URL such as"),
        ("STEPRIG_INNGEST", "http://host:port", "a URL such as"),
        ("STEPRIG_INNGEST", "http://", "a URL such as"),
        ("INNGEST_BASE_URL", "127.0.0.1:8288", "a URL such as"),
        ("INNGEST_BASE_URL", "http://127.0.0.1:99999", "a URL such as"),
    ],
)
def test_a_bad_value_is_named_with_what_was_expected(name, value, expected):
    with pytest.raises(SettingsError) as caught:
        Settings.from_environ({name: value})

    assert str(caught.value).startswith(f"{name}={value!r} in the environment; expected {expected}")


@pytest.mark.parametrize("name", ["INNGEST_SIGNING_KEY", "INNGEST_SIGNING_KEY_FALLBACK"])
def test_a_bad_signing_key_is_not_shown(name):
    with pytest.raises(SettingsError, match=rf"{name} .* expected signkey-<word>-<hex>") as caught:
        Settings.from_environ({name: "signkey-test-secret"})

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("environ", "backend", "origin"),
    [
        ({"STEPRIG_INNGEST": "https://inngest.example/"}, "running", "https://inngest.example"),
        ({"STEPRIG_INNGEST": "http://127.0.0.1:9999"}, "running", "http://127.0.0.1:9999"),
        ({"INNGEST_BASE_URL": "http://inngest:8288"}, "running", "http://inngest:8288"),
        ({"INNGEST_BASE_URL": "https://127.0.0.1:8288"}, "running", "https://127.0.0.1:8288"),
        ({"INNGEST_BASE_URL": "http://localhost:9000"}, "embedded", "http://127.0.0.1:9000"),
        ({"INNGEST_BASE_URL": "http://127.0.0.1:9000", "DEV_SERVER_PORT": "9000"}, "embedded", "http://127.0.0.1:9000"),
        ({"INNGEST_BASE_URL": "http://[::1]:9000", "STEPRIG_INNGEST": "cli"}, "cli", "http://127.0.0.1:9000"),
        ({"INNGEST_BASE_URL": "http://inngest:1", "STEPRIG_INNGEST": "embedded"}, "embedded", "http://127.0.0.1:8288"),
        ({"INNGEST_BASE_URL": "http://a:1", "STEPRIG_INNGEST": "http://b:2"}, "running", "http://b:2"),
        ({"DEV_SERVER_PORT": "0"}, "embedded", None),
    ],
)
def test_where_the_server_is_and_who_runs_it(environ, backend, origin):
    settings = Settings.from_environ(environ)

    assert (settings.backend, settings.origin) == (backend, origin)


def test_a_port_that_sdks_would_not_go_to_is_refused():
    environ = {"DEV_SERVER_PORT": "9000", "INNGEST_BASE_URL": "http://127.0.0.1:8288"}

    with pytest.raises(SettingsError, match=r"DEV_SERVER_PORT=9000 contradicts INNGEST_BASE_URL=.*same port"):
        Settings.from_environ(environ)


def test_the_server_of_the_environment_reads_it_when_it_is_looked_at(monkeypatch):
    monkeypatch.delenv("INNGEST_BASE_URL", raising=False)
    for port in ("9001", "9002"):
        monkeypatch.setenv("DEV_SERVER_PORT", port)
        assert server.origin == f"http://127.0.0.1:{port}"

    monkeypatch.setenv("DEV_SERVER_PORT", "0")
    with pytest.raises(RuntimeError, match=r"DEV_SERVER_PORT=0 .* not known before start"):
        _ = server.origin


def test_the_port_of_a_server_that_runs_elsewhere():
    assert [RunningDevServer(url).port for url in ("http://a:1", "http://a", "https://a/")] == [1, 80, 443]


def test_the_example_describes_every_variable():
    example = (Path(__file__).parents[2] / ".env.example").read_text()

    for name in (
        "DEV_SERVER_PORT",
        "DEV_SERVER_ENABLED",
        "DEV_SERVER_LOGS",
        "DEV_SERVER_VERSION",
        "INNGEST_BASE_URL",
        "INNGEST_EVENT_KEY",
        "INNGEST_SIGNING_KEY",
        "INNGEST_SIGNING_KEY_FALLBACK",
        "ENABLE_CRONS",
        "STEPRIG_INNGEST",
    ):
        assert f"\n# {name}=" in example or f"\n{name}=" in example, name


def test_the_example_as_it_is_changes_nothing():
    example = (Path(__file__).parents[2] / ".env.example").read_text()
    lines = [line for line in example.splitlines() if line and not line.startswith("#")]

    assert Settings.from_environ(dict(line.split("=", 1) for line in lines)) == Settings()
