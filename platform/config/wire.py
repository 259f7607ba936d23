"""Frames straight to daphne's transport and from it: a quarter of the work of an ASGI send, a third of a receive.

A frame for a thousand listeners is made once, and daphne (with autobahn) would make it anew for each. Here its bytes go
to the socket itself when nothing waits there, else behind what waits. And the small whole text frames that clients send,
most of them acknowledgements, are read here and handed on at once. Only where everything is as it is known to be:
daphne's own `send`, autobahn's open protocol without compression, Twisted's plain TCP, one whole message in one frame.
Anything else takes the ASGI way.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from time import time
from typing import Any

import autobahn.websocket.protocol
from autobahn.websocket.protocol import WebSocketProtocol as Autobahn
from daphne.server import Server
from daphne.ws_protocol import WebSocketProtocol
from twisted.internet.tcp import Server as Tcp

WHOLE_TEXT, MASKED = 0x81, 0x80  # RFC 6455 §5.2: FIN and opcode 1; the mask bit that clients must set

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

    def hear(self, handle: Callable[[str], None]) -> None:
        """From here on give whole text messages to `handle`, in their order; what is not one goes the ASGI way."""
        protocol: Any = self._protocol
        protocol.dataReceived = partial(_received, protocol, handle)

    def end(self) -> None:
        """Hear nothing more here."""
        vars(self._protocol).pop("dataReceived", None)


def _received(protocol: Any, handle: Callable[[str], None], data: bytes) -> None:
    """Bytes have come: hand on the whole texts they begin with, and leave the rest to autobahn."""
    at = 0
    while at < len(data) and _is_at_rest(protocol) and (found := whole_text(data, at)):
        protocol.last_ping = time()  # daphne's own, set with every message
        text, at = found
        handle(text)
    if at < len(data):
        WebSocketProtocol.dataReceived(protocol, data[at:])


def _is_at_rest(protocol: Any) -> bool:
    """Nothing that came before is still being read or waits to be handled."""
    return (
        protocol.state == Autobahn.STATE_OPEN
        and not protocol.data
        and protocol.current_frame is None
        and not protocol.inside_message
        and not protocol.autoPingTimeoutCall
        and not protocol.muted
        and not protocol.websocket_extensions_in_use
        and protocol.application_queue.empty()
    )


def whole_text(data: bytes, at: int) -> tuple[str, int] | None:
    """The text of the client's frame (RFC 6455 §5.2, §5.3) that begins at `at`, and where it ends.

    None when it is not plainly a whole, masked text of less than 64 KiB: what that is, autobahn says.
    """
    if len(data) < at + 6 or data[at] != WHOLE_TEXT or data[at + 1] < MASKED:
        return None
    size, mask_at = data[at + 1] - MASKED, at + 2
    if size == 126:
        size, mask_at = int.from_bytes(data[at + 2 : at + 4]), at + 4
        if size < 126:
            return None
    elif size == 127:
        return None
    begin = mask_at + 4
    end = begin + size
    if len(data) < end:
        return None
    mask = (data[mask_at:begin] * (size // 4 + 1))[:size]
    plain = (int.from_bytes(data[begin:end]) ^ int.from_bytes(mask)).to_bytes(size)
    try:
        return plain.decode(), end
    except UnicodeDecodeError:
        return None


def wire_of(send: Callable[[Any], Awaitable[None]]) -> DaphneWire | None:
    """The transport behind an ASGI `send`, when it is daphne's; None under any other server."""
    if not (isinstance(send, partial) and getattr(send.func, "__func__", None) is Server.handle_reply):
        return None
    protocol = send.args[0] if send.args else None
    return DaphneWire(protocol) if isinstance(protocol, WebSocketProtocol) else None
