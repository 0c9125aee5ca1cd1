"""Sockets: HTTP/1.1 with connections that are kept, one thread each.

The standard library's server is enough: an answer is computed, not awaited, and the WebSocket half
(`websockets`, which brings a threaded and an asyncio server) runs beside it in a thread of the same
process on a port of its own. No further dependency is needed for either.
"""

import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from threading import Event, Lock, Thread
from typing import Any

from kalshi_bt.errors import UsageError
from live_adapter.exchange.service import Reply, Service


class Server(ThreadingHTTPServer):
    """A service on a port.

    Parameters
    ----------
    service : Service
        What answers.
    host : str
        Address to listen at.
    port : int
        0 for any that is free.

    Raises
    ------
    UsageError
        If nothing can listen there.
    """

    daemon_threads = False  # closing waits for the threads, after it has ended their connections
    request_queue_size = 128

    def __init__(self, service: Service, host: str, port: int) -> None:
        try:
            super().__init__((host, port), _Connection)
        except (OSError, OverflowError) as error:
            raise UsageError(f"cannot listen at {host}:{port} ({error})") from None
        self.service, self.stopping = service, Event()
        self._open: set[socket.socket] = set()
        self._lock = Lock()

    def server_bind(self) -> None:
        """Take the port, without asking anyone for the name of this machine."""
        TCPServer.server_bind(self)
        host, self.server_port = self.server_address[:2]
        self.server_name = str(host)

    @property
    def url(self) -> str:
        """Where it is, without a path."""
        host, port = self.server_address[:2]
        return f"http://{host!s}:{port}"

    def start(self) -> None:
        """Serve in the background."""
        self._thread = Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End all connections and free the port."""
        self.shutdown()
        self._thread.join()
        self.stopping.set()
        with self._lock:
            for connection in self._open:
                _end(connection)
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Keep track of a connection."""
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing where a client went away; show everything else."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Connection(BaseHTTPRequestHandler):
    """Requests of one connection, one after the other."""

    protocol_version = "HTTP/1.1"
    server_version = "sandbox"
    disable_nagle_algorithm = True
    server: Server

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        reply = self.server.service.reply(self.command, self.path, self.headers, body)  # type: ignore[arg-type]
        if reply.delay:
            self.server.stopping.wait(reply.delay)
        self._send(reply)

    do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - names of the library

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(reply.body)))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body[: len(reply.body) // 2] if reply.cut else reply.body)
        if reply.cut:
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - name of the library
        """Write no log; requests are counted."""


def _end(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it has ended already
