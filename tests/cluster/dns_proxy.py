"""A forward proxy in place of cluster DNS: sends the names of Services to local ports.

The Host header stays as it was, as behind a Service. The file of routes maps names to addresses, is
read anew when it changes, and may hold patterns: `*-kn-channel.*`. Runs as a process of its own:
`python dns_proxy.py PORT ROUTES`.
"""

import json
import sys
from collections.abc import Iterable
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from pathlib import Path
from urllib.parse import urlsplit

import urllib3

# About one connection, not about the message (RFC 9110, 7.6.1); the length is set anew.
HOP_BY_HOP = {
    "connection",
    "content-length",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}


class Routes:
    """Names of Services, and where each listens."""

    def __init__(self, file: Path) -> None:
        """Read the file on first use."""
        self._file = file
        self._version = (0, 0)
        self._routes: dict[str, str] = {}

    def address(self, host: str) -> str | None:
        """Return host:port of what stands for a Service."""
        state = self._file.stat()
        version = (state.st_ino, state.st_mtime_ns)  # two changes may share a tick of the clock
        if version != self._version:
            self._routes = json.loads(self._file.read_text())
            self._version = version
        exact = self._routes.get(host)
        matches = (to for pattern, to in self._routes.items() if fnmatch(host, pattern))
        return exact or next(matches, None)


class Proxy(ThreadingHTTPServer):
    """The proxy on a port of 127.0.0.1."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, routes: Routes) -> None:
        """Listen."""
        super().__init__(("127.0.0.1", port), _Handler)
        self.routes = routes
        self.pool = urllib3.PoolManager(num_pools=50, maxsize=100, retries=False, timeout=600.0)


class BrokenOffError(Exception):
    """The caller ended in the middle of its request."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # one write for head and body
    server: Proxy

    def forward(self) -> None:
        try:
            body = read_body(self.rfile, self.headers.get("Transfer-Encoding"), self.length)
        except BrokenOffError:
            self.close_connection = True  # half a request of a caller that was killed is none
            return
        target = urlsplit(self.path)
        address = self.server.routes.address(target.hostname or "")
        if address is None:
            self.answer(502, {}, f"no route to {target.hostname}\n".encode())
            return
        path = target.path or "/"
        url = f"http://{address}{path}" + (f"?{target.query}" if target.query else "")
        headers = _end_to_end(self.headers.items()) | {"Host": target.netloc}
        try:
            reply = self.server.pool.request(
                self.command, url, body=body, headers=headers, redirect=False, decode_content=False
            )
        except urllib3.exceptions.HTTPError as error:
            self.answer(502, {}, f"{target.hostname} at {address}: {error}\n".encode())
            return
        self.answer(reply.status, _end_to_end(reply.headers.items()), reply.data)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = forward  # noqa: N815 - so it looks them up

    @property
    def length(self) -> int:
        return int(self.headers.get("Content-Length") or 0)

    def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()


def read_body(stream: BufferedIOBase, encoding: str | None, length: int) -> bytes:
    """Read the body of a request, chunked or not."""
    if (encoding or "").lower() != "chunked":
        return _exactly(stream, length)
    chunks: list[bytes] = []
    while size := int(stream.readline().split(b";")[0] or b"-1", 16):
        chunks.append(_exactly(stream, size))
        stream.readline()
    while stream.readline().strip():
        pass  # trailers
    return b"".join(chunks)


def _exactly(stream: BufferedIOBase, length: int) -> bytes:
    data = stream.read(length) if length >= 0 else b""
    if len(data) != length:
        raise BrokenOffError
    return data


def _end_to_end(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {name: value for name, value in headers if name.lower() not in HOP_BY_HOP | {"host"}}


if __name__ == "__main__":
    with Proxy(int(sys.argv[1]), Routes(Path(sys.argv[2]))) as proxy:
        proxy.serve_forever()
