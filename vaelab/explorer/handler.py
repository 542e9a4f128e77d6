"""One connection of the page: each request is checked before anything is computed."""

from __future__ import annotations

import hmac
import json
import logging
import select
import socket
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from vaelab.errors import ConfigError, VaelabError
from vaelab.files import finite
from vaelab.reading import parse_json
from vaelab.slots import describe

if TYPE_CHECKING:
    from vaelab.explorer.server import ExplorerServer

_log = logging.getLogger("vaelab")

#: The header with the token.
TOKEN = "X-Vaelab-Token"
#: Bytes of a request.
MAX_BYTES = 2**20
#: Seconds that a connection may be silent.
_SILENCE = 60

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}

#: A request's model, and what answers it.
Route = tuple[type[BaseModel], Callable[[Any], dict[str, Any]]]


class _RefusedError(Exception):
    def __init__(self, status: HTTPStatus, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Handler(BaseHTTPRequestHandler):
    """Answers the page and what it asks, and refuses everything else in one sentence of JSON."""

    server: ExplorerServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "vaelab", ""
    timeout = _SILENCE
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """The page, which holds nothing of a run."""
        try:
            self._check_sender()
            if self.path != "/":
                raise _RefusedError(HTTPStatus.NOT_FOUND, "there is nothing here; the page is at /")
            self._send(HTTPStatus.OK, self.server.page, "text/html; charset=utf-8", self.server.policy)
        except _RefusedError as error:
            self._refuse(error.status, str(error))

    def do_POST(self) -> None:
        """An answer for the page."""
        try:
            self._answer()
        except _RefusedError as error:
            self._refuse(error.status, str(error))
        except VaelabError as error:
            self._refuse(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
        except (ConnectionError, TimeoutError):
            raise  # nobody is left to be told
        except Exception as error:
            _log.warning("the explorer could not answer %s (%s: %s)", self.path, type(error).__name__, error)
            _log.debug("", exc_info=True)
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, f"the model failed ({type(error).__name__}: {error})")

    def _answer(self) -> None:
        self._check_sender(posting=True)
        given = self.headers.get(TOKEN, "")
        if not hmac.compare_digest(given.encode(), self.server.token.encode()):
            raise _RefusedError(
                HTTPStatus.FORBIDDEN, "the token is missing or of another start; open the address that was printed"
            )
        route = self.server.routes.get(self.path)
        if route is None:
            raise _RefusedError(HTTPStatus.NOT_FOUND, "there is no such request")
        model, answer = route
        request = self._parsed(model, self._body())
        begun = time.perf_counter()
        with self.server.computing:
            if self._left():
                self.close_connection = True
                return
            content = answer(request)
        taken = 1000 * (time.perf_counter() - begun)
        _log.info("%s answered in %.0f ms", self.path, taken)
        self._send_json(HTTPStatus.OK, {**content, "milliseconds": round(taken, 2)})

    def _check_sender(self, *, posting: bool = False) -> None:
        """Refuse other names of this machine (which a hostile name server could give it) and other pages."""
        hosts = self.headers.get_all("Host", [])
        if len(hosts) != 1 or hosts[0] not in self.server.authorities:
            raise _RefusedError(HTTPStatus.FORBIDDEN, "the explorer answers under 127.0.0.1 and localhost alone")
        origins = self.headers.get_all("Origin", [])
        if origins != [f"http://{hosts[0]}"] and (posting or origins):
            raise _RefusedError(HTTPStatus.FORBIDDEN, "the explorer answers its own page alone")

    def _body(self) -> bytes:
        kind = self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise _RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "a request is application/json")
        length = self.headers.get("Content-Length", "")
        if "Transfer-Encoding" in self.headers or not (length.isascii() and length.isdigit()):
            raise _RefusedError(HTTPStatus.LENGTH_REQUIRED, "a request says its length")
        if len(length) > 9 or int(length) > MAX_BYTES:
            raise _RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a request has {MAX_BYTES} bytes at most")
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise _RefusedError(HTTPStatus.BAD_REQUEST, "the request is shorter than it says")
        return body

    @staticmethod
    def _parsed(model: type[BaseModel], body: bytes) -> BaseModel:
        try:
            text = body.decode()
            content = parse_json(text, "request")
        except (UnicodeDecodeError, ConfigError) as error:
            raise _RefusedError(HTTPStatus.BAD_REQUEST, f"the request is no JSON ({error})") from error
        try:
            return model.model_validate_json(text)
        except ValidationError as error:
            sentence = describe(error, "request", content, model).splitlines()[0]
            raise _RefusedError(HTTPStatus.BAD_REQUEST, sentence) from error

    def _left(self) -> bool:
        """Whether the page no longer waits, because something newer was asked for."""
        readable, _, _ = select.select([self.connection], [], [], 0)
        return bool(readable) and not self.connection.recv(1, socket.MSG_PEEK)

    def _refuse(self, status: HTTPStatus, sentence: str) -> None:
        # what is left of the request must not be taken for the next one
        self.close_connection = True
        self._send_json(status, {"error": " ".join(sentence.split())})

    def _send_json(self, status: HTTPStatus, content: dict[str, Any]) -> None:
        body = json.dumps(finite(content), allow_nan=False, separators=(",", ":")).encode()
        self._send(status, body, "application/json", "default-src 'none'; frame-ancestors 'none'")

    def _send(self, status: HTTPStatus, body: bytes, kind: str, policy: str) -> None:
        self.send_response(status)
        headers = {
            **_HEADERS,
            "Content-Security-Policy": policy,
            "Content-Type": kind,
            "Content-Length": str(len(body)),
        }
        for name, value in headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the base class refuses: other methods, lines that are no HTTP."""
        known = HTTPStatus(code)
        status = HTTPStatus.METHOD_NOT_ALLOWED if known is HTTPStatus.NOT_IMPLEMENTED else known
        self._refuse(status, "the explorer knows GET and POST" if status is not known else known.phrase.lower())

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are told where they are answered, with their time."""
