"""The server of the page: for this machine alone, with a token that is new at each start."""

from __future__ import annotations

import logging
import secrets
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from http.server import ThreadingHTTPServer
from typing import Any

from vaelab.errors import VaelabError
from vaelab.explorer.handler import Handler, Route

_log = logging.getLogger("vaelab")

#: The only address that is listened on.
HOST = "127.0.0.1"
#: Names under which a browser may have found it; any other is somebody else's name for this machine.
NAMES = (HOST, "localhost")
#: Connections at a time; a browser opens six.
_CONNECTIONS = 32


class ExplorerServer(ThreadingHTTPServer):
    """Answers the page and its requests on a port of this machine.

    Args:
        port: 0 takes one that is free.
        page: the page's HTML.
        policy: its content security policy.

    Attributes:
        routes: what is answered under which path; to be filled before it serves.
        token: what every request for data must bring, new at each start.

    Raises:
        VaelabError: the port is taken, or may not be used.
    """

    daemon_threads = True
    request_queue_size = _CONNECTIONS

    def __init__(self, port: int, page: str, policy: str) -> None:
        self.page = page.encode()
        self.policy = policy
        self.routes: Mapping[str, Route] = {}
        self.token = secrets.token_urlsafe(32)
        #: Draws come from the global random state, so that one answer is computed at a time.
        self.computing = threading.Lock()
        self._free = threading.BoundedSemaphore(_CONNECTIONS)
        self._open: set[socket.socket] = set()
        try:
            super().__init__((HOST, port), Handler)
        except OSError as error:
            raise VaelabError(
                f"--port {port}: cannot be listened on ({error.strerror}). Choose another one, or leave --port out."
            ) from error
        self.authorities = tuple(f"{name}:{self.server_port}" for name in NAMES)

    @property
    def url(self) -> str:
        """Where the page is. The token stands behind the #, which a browser sends to nobody."""
        return f"http://{HOST}:{self.server_port}/#{self.token}"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread, unless there are too many."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer the requests of one connection."""
        self._open.add(request)
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._open.discard(request)
            self._free.release()

    def server_close(self) -> None:
        """Free the port, and end the connections that a browser keeps."""
        super().server_close()
        for connection in tuple(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke; nobody is left to be told."""
        _log.debug("a connection of the page broke", exc_info=True)
