"""The HTTP side: routes, authentication, keep-alive, and answers streamed from files."""

import base64
import binascii
import hmac
import re
import socketserver
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qsl, unquote, urlsplit

from demo.distribution import pull, push
from demo.distribution.framing import BadFraming, Body
from demo.distribution.messages import FileSlice, Refusal, Request, Response, json_response
from demo.distribution.names import check_repository
from demo.distribution.store import Store
from demo.distribution.uploads import Uploads

__all__ = ["Login", "RegistryServer"]

_DRAINED = 4 << 20
"""Bytes of an unwanted body that are read to keep the connection; with more it is closed."""


@dataclass(frozen=True)
class Login:
    """Who may use the registry."""

    user: str
    """User name, without a colon."""
    password: str
    """Password."""

    def admits(self, authorization: str) -> bool:
        """Say whether an Authorization field carries these credentials (RFC 7617); takes the same time for any."""
        scheme, _, encoded = authorization.partition(" ")
        try:
            given = base64.b64decode(encoded.strip(), validate=True)
        except (ValueError, binascii.Error):
            return False
        return scheme.lower() == "basic" and hmac.compare_digest(given, f"{self.user}:{self.password}".encode())


class RegistryServer(ThreadingHTTPServer):
    """A registry on loopback, one thread a connection; `serve_forever` runs it, `shutdown` ends it."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, root: Path, port: int = 0, login: Login | None = None) -> None:
        """Listen on 127.0.0.1, on a free port if `port` is 0; OSError if the port is taken."""
        self.store = Store(root)
        self.uploads = Uploads(self.store)
        self.login = login
        super().__init__(("127.0.0.1", port), _Handler)

    def server_bind(self) -> None:
        """Bind without asking the resolver for a name, which takes seconds on some machines."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.socket.getsockname()[1]

    @property
    def url(self) -> str:
        """The address clients use."""
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self, request: Request) -> Response:
        """Return the answer to a request; raises Refusal for those that get an error."""
        if self.login is not None and not self.login.admits(request.headers.get("Authorization", "")):
            raise Refusal(401, "UNAUTHORIZED", "log in first", {"WWW-Authenticate": 'Basic realm="registry"'})
        for shape, endpoints in _ROUTES:
            found = re.fullmatch(shape, request.path, re.DOTALL)
            if found is not None:
                return self._dispatch(request, endpoints, found.groups())
        raise Refusal(404, "UNSUPPORTED", "there is no such address")

    def _dispatch(self, request: Request, endpoints: "_Endpoints", parts: tuple[str, ...]) -> Response:
        endpoint = endpoints.get("GET" if request.method == "HEAD" else request.method)
        if endpoint is None:
            allowed = [*endpoints, *(["HEAD"] if "GET" in endpoints else [])]
            raise Refusal(405, "UNSUPPORTED", "the method is not supported here", {"Allow": ", ".join(allowed)})
        if parts:
            check_repository(parts[0])
        return endpoint(self, request, parts)


_Endpoints = dict[str, Callable[[RegistryServer, Request, tuple[str, ...]], Response]]

_ROUTES: tuple[tuple[str, _Endpoints], ...] = (
    (r"/v2/?", {"GET": lambda _server, _request, _parts: json_response({})}),
    (r"/v2/_catalog", {"GET": lambda server, request, _parts: pull.get_catalog(server.store, request)}),
    (r"/v2/(.+)/tags/list", {"GET": lambda server, request, parts: pull.get_tags(server.store, request, *parts)}),
    (
        r"/v2/(.+)/manifests/([^/]+)",
        {
            "GET": lambda server, request, parts: pull.get_manifest(server.store, request, *parts),
            "PUT": lambda server, request, parts: push.put_manifest(server.store, request, *parts),
            "DELETE": lambda server, _request, parts: push.delete_manifest(server.store, *parts),
        },
    ),
    (
        r"/v2/(.+)/blobs/uploads/?",
        {"POST": lambda server, request, parts: push.begin_upload(server.store, server.uploads, request, *parts)},
    ),
    (
        r"/v2/(.+)/blobs/uploads/([^/]+)",
        {
            "GET": lambda server, _request, parts: push.upload_status(server.uploads, *parts),
            "PATCH": lambda server, request, parts: push.continue_upload(server.uploads, request, *parts),
            "PUT": lambda server, request, parts: push.finish_upload(server.uploads, request, *parts),
            "DELETE": lambda server, _request, parts: push.cancel_upload(server.uploads, *parts),
        },
    ),
    (r"/v2/(.+)/blobs/([^/]+)", {"GET": lambda server, request, parts: pull.get_blob(server.store, request, *parts)}),
)


class _Handler(BaseHTTPRequestHandler):
    """One connection: reads requests, sends what `RegistryServer.answer` says."""

    protocol_version = "HTTP/1.1"
    timeout: ClassVar[int] = 60
    disable_nagle_algorithm = True
    server: RegistryServer

    def do_GET(self) -> None:
        """Answer one request, whatever its method."""
        try:
            request = self._request()
            response = self._answer(request)
            if not request.body.drain(_DRAINED):
                self.close_connection = True
            self._send(request.method, response)
        except BadFraming as failure:
            self.close_connection = True
            self._send(self.command, Refusal(400, "UNSUPPORTED", str(failure)).response())
        except ConnectionError as failure:
            self.close_connection = True
            self.log_error("the client left: %s", failure)

    do_HEAD = do_POST = do_PATCH = do_PUT = do_DELETE = do_GET  # noqa: N815 # the names http.server calls

    def version_string(self) -> str:
        """Return what the Server field says: no version, of Python neither."""
        return "demo-registry"

    def _request(self) -> Request:
        try:
            address = urlsplit(self.path)
            query = dict(parse_qsl(address.query, keep_blank_values=True, max_num_fields=64))
        except ValueError as failure:
            raise BadFraming(f"the address cannot be read: {failure}") from None
        return Request(self.command, unquote(address.path), query, self.headers, Body(self.rfile, self.headers))

    def _answer(self, request: Request) -> Response:
        try:
            return self.server.answer(request)
        except Refusal as refusal:
            return refusal.response()
        except (ConnectionError, TimeoutError):
            raise
        except OSError as failure:
            self.log_error("storage: %s", failure)
            return Refusal(500, "UNKNOWN", f"the registry's folder failed: {failure.strerror}").response()

    def _send(self, method: str, response: Response) -> None:
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        if response.status not in (204, 304):
            self.send_header("Content-Length", str(response.length))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if method == "HEAD" or not response.length:
            return
        if isinstance(response.content, FileSlice):
            with response.content.path.open("rb") as source:
                self.connection.sendfile(source, response.content.start, response.content.length)
        else:
            self.wfile.write(response.content)
