"""An `npx` that takes the place of the real one, for tests of what starts it."""

import sys
from pathlib import Path
from textwrap import dedent

CHECKS_ARGUMENTS = """
    import os, sys
    expected = ["--yes", "inngest-cli@1.2.3", "dev", "--no-discovery", "--no-poll", "--port"]
    if sys.argv[1:-1] != expected:
        sys.exit(f"the stand-in expected {expected} and a port, got {sys.argv[1:]}")
    port = int(sys.argv[-1])
"""

SERVES = """
    import http.server

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.answer(200 if self.path == "/v0/connect/start" else 404)

        def do_GET(self):
            self.answer(200 if self.path == "/health" else 404)

        def answer(self, status):
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    print("Inngest dev server online at", port)
    print("ignore_scripts:", os.environ.get("npm_config_ignore_scripts"))
    server.serve_forever()
"""

CANNOT_DOWNLOAD = """
    print("npm error code ENOTFOUND", file=sys.stderr)
    print("npm error network request to https://registry.example/inngest-cli failed", file=sys.stderr)
    sys.exit(1)
"""

CRASHES = """
    sys.exit("panic: cannot bind the gateway")
"""

NEVER_READY = """
    print("still unpacking")
    import threading
    threading.Event().wait()
"""


def put_npx_into(directory: Path, *parts: str) -> Path:
    """Write an executable `npx` that does these parts in order. Returns the directory, for PATH."""
    directory.mkdir(exist_ok=True)
    npx = directory / "npx"
    npx.write_text(f"#!{sys.executable}\n" + "".join(dedent(part) for part in (CHECKS_ARGUMENTS, *parts)))
    npx.chmod(0o755)
    return directory
