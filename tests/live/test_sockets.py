"""Sockets hold their port and have the options that a server needs."""

import socket

import pytest

from steprig.live import ServerStartupError, UvicornTestServer
from steprig.live.sockets import connectable, is_address, listen, netloc


async def app(scope, receive, send): ...


def test_a_listening_socket_names_tcp_as_its_protocol():
    with listen("127.0.0.1", 0) as sock:
        # Otherwise asyncio does not set TCP_NODELAY, and each kept-alive response is 40 ms late.
        assert sock.proto == socket.IPPROTO_TCP
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
        assert not sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)
        assert not sock.getblocking()


def test_a_held_port_cannot_be_taken():
    with listen("127.0.0.1", 0) as sock, pytest.raises(OSError, match="in use"):
        listen("127.0.0.1", sock.getsockname()[1])


def test_a_failed_bind_leaves_no_socket_open():
    # An unclosed socket would be a ResourceWarning, which is an error here.
    with pytest.raises(OSError, match="assign"):
        listen("192.0.2.1", 0)


def test_localhost_is_bound_where_every_client_looks():
    with listen("localhost", 0) as sock:
        assert sock.getsockname()[0] == "127.0.0.1"


@pytest.mark.parametrize(("host", "expected"), [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("192.0.2.7", "192.0.2.7")])
def test_clients_reach_a_wildcard_by_loopback(host, expected):
    assert connectable(host) == expected


def test_ipv6_addresses_take_brackets_in_urls():
    assert netloc("::1", 80) == "[::1]:80"
    assert netloc("127.0.0.1", 80) == "127.0.0.1:80"


def test_names_are_told_from_addresses():
    assert is_address("::1")
    assert not is_address("localhost")


def test_reading_the_port_binds_it_and_stop_releases_it():
    server = UvicornTestServer(app)
    port = server.port

    with pytest.raises(OSError, match="in use"):
        listen("127.0.0.1", port)
    assert server.base_url == f"http://127.0.0.1:{port}"

    server.stop()
    listen("127.0.0.1", port).close()


def test_a_busy_port_falls_back_to_a_free_one_and_says_so():
    with listen("127.0.0.1", 0) as taken:
        asked = taken.getsockname()[1]
        server = UvicornTestServer(app, port=asked)

        assert server.port != asked
        assert server.port_fell_back
        server.stop()


def test_a_port_that_is_free_is_used_and_nothing_fell_back():
    with listen("127.0.0.1", 0) as free:
        asked = free.getsockname()[1]
    server = UvicornTestServer(app, port=asked)

    assert (server.port, server.port_fell_back) == (asked, False)
    server.stop()


def test_a_busy_strict_port_is_an_error_that_names_it():
    with listen("127.0.0.1", 0) as taken:
        asked = taken.getsockname()[1]
        with pytest.raises(ServerStartupError, match=f"cannot listen on port {asked} of 127.0.0.1"):
            UvicornTestServer(app, port=asked, strict_port=True).start()


def test_a_host_that_is_not_this_machine_is_an_error_that_names_it():
    with pytest.raises(ServerStartupError, match=r"192\.0\.2\.1"):
        UvicornTestServer(app, host="192.0.2.1").start()


@pytest.mark.parametrize(
    ("path", "expected"), [("/a?b=1", "/a?b=1"), ("a", "/a"), ("", "/"), ("/", "/"), ("//a", "//a")]
)
def test_url_joins_a_path_to_the_base(path, expected):
    server = UvicornTestServer(app)

    assert server.url(path) == server.base_url + expected
    server.stop()


def test_tls_changes_the_schemes_and_keeps_the_name_of_the_certificate():
    server = UvicornTestServer(app, host="localhost", ssl_certfile="cert.pem")

    assert server.base_url == f"https://localhost:{server.port}"
    assert server.ws_url == f"wss://localhost:{server.port}"
    server.stop()


def test_a_unix_socket_has_a_url_but_no_port():
    server = UvicornTestServer(app, uds="/tmp/x.sock")

    assert (server.base_url, server.uds) == ("http://localhost", "/tmp/x.sock")
    with pytest.raises(RuntimeError, match="has no port"):
        _ = server.port


def test_a_server_that_does_not_run_has_no_loop_and_can_be_stopped():
    server = UvicornTestServer(app)

    server.stop()

    assert not server.is_running
    with pytest.raises(RuntimeError, match="not running"):
        _ = server.loop


def test_a_thread_that_cannot_be_started_leaves_the_port_free(monkeypatch):
    def no_more_threads(thread):
        raise RuntimeError("can't start new thread")

    server = UvicornTestServer(app)
    port = server.port
    with monkeypatch.context() as patch:
        patch.setattr("threading.Thread.start", no_more_threads)
        with pytest.raises(RuntimeError, match="can't start"):
            server.start()

    assert not server.is_running
    listen("127.0.0.1", port).close()
