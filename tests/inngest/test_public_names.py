"""What `steprig.inngest` offers, and what happens without the packages of its extra."""

import subprocess
import sys
import textwrap

import pytest

import steprig.inngest


def run(code):
    """In an interpreter of its own, where nothing is imported yet."""
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("name", steprig.inngest.__all__)
def test_every_public_name_is_there(name):
    assert getattr(steprig.inngest, name) is not None
    assert name in dir(steprig.inngest)


def test_an_unknown_name_is_refused_as_by_any_module():
    with pytest.raises(AttributeError, match=r"module 'steprig\.inngest' has no attribute 'Server'"):
        _ = steprig.inngest.Server


def test_the_import_loads_nothing_that_is_not_used():
    code = """
        import sys, steprig.inngest
        print(sorted({name.partition(".")[0] for name in sys.modules} & {"inngest", "httpx", "ariadne", "uvicorn"}))
    """
    assert run(code) == "[]"


WITHOUT = """
    import sys
    for name in {missing!r}:
        sys.modules[name] = None
    import steprig.inngest
"""


def without(*missing):
    return textwrap.dedent(WITHOUT.format(missing=missing))


@pytest.mark.parametrize("missing", ["ariadne", "cel", "ulid", "cronsim"])
def test_without_the_extra_the_error_names_it(missing):
    code = without(missing) + textwrap.dedent("""
        try:
            from steprig.inngest import DevServer
        except ImportError as error:
            print(error)
    """)
    expected = f"steprig.inngest.DevServer needs the package {missing!r}, which is not installed: "
    assert run(code) == expected + "pip install 'steprig[inngest]'"


def test_client_kit_and_settings_need_no_extra():
    code = without("inngest", "ariadne", "cel", "ulid", "cronsim", "jcs") + textwrap.dedent("""
        from steprig.inngest import DevServerClient, InngestCliServer, Case, BaseState, server, wait_for
        print(server.settings.backend)
    """)
    assert run(code) == "embedded"


def test_the_server_of_the_environment_is_the_object_whatever_was_imported_before():
    code = """
        import steprig.inngest.default_server, steprig.inngest.dev_server, steprig.inngest.settings
        from steprig.inngest import server
        print(type(server).__name__)
    """
    assert run(code) == "EnvironmentServer"
