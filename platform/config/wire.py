"""Ready frames straight to daphne's transport: a quarter of the work of an ASGI send.

A frame for a thousand listeners is made once, and daphne (with autobahn) would make it anew for each. Here its bytes go
to the socket itself when nothing waits there, else behind what waits. Only where everything is as it is known to be:
daphne's own `send`, autobahn's open protocol without compression, Twisted's plain TCP. Anything else takes the ASGI way.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import autobahn.websocket.protocol
from autobahn.websocket.protocol import WebSocketProtocol as Autobahn
from daphne.server import Server
from daphne.ws_protocol import WebSocketProtocol
from twisted.internet.tcp import Server as Tcp

# For each connection autobahn prints all of its settings prettily for its log, even when nobody logs that: a quarter
# of the work of letting a socket in.
autobahn.websocket.protocol.pformat = repr  # type: ignore[attr-defined,assignment]


class DaphneWire:
    """The transport of one open WebSocket under daphne (`realtime.lines.Wire`)."""

    __slots__ = ("_protocol",)

    def __init__(self, protocol: WebSocketProtocol) -> None:
        self._protocol = protocol

    def write(self, frame: bytes) -> bool:
        """Send the bytes of a frame after what is on its way. False: this cannot be done now."""
        protocol: Any = self._protocol
        transport: Any = protocol.transport
        if (
            protocol.state != Autobahn.STATE_OPEN
            or type(transport) is not Tcp
            or protocol.websocket_extensions_in_use
            or protocol.send_queue
        ):
            return False
        if not transport.connected or transport.disconnecting:
            return False
        if transport.dataBuffer or transport._tempDataBuffer:
            transport.write(frame)  # type: ignore[no-untyped-call]
            return True
        try:
            sent = transport.socket.send(frame)
        except BlockingIOError:
            sent = 0
        except OSError:
            return True  # it has gone: its own end says so
        if sent < len(frame):
            transport.write(frame[sent:])  # type: ignore[no-untyped-call]
        return True

    def waiting(self) -> int:
        """How many bytes the other end has not taken yet."""
        transport: Any = self._protocol.transport
        if type(transport) is not Tcp:
            return 0
        return int(len(transport.dataBuffer) - transport.offset + transport._tempDataLen)


def wire_of(send: Callable[[Any], Awaitable[None]]) -> DaphneWire | None:
    """The transport behind an ASGI `send`, when it is daphne's; None under any other server."""
    if not (isinstance(send, partial) and getattr(send.func, "__func__", None) is Server.handle_reply):
        return None
    protocol = send.args[0] if send.args else None
    return DaphneWire(protocol) if isinstance(protocol, WebSocketProtocol) else None
