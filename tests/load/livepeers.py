"""The peers that talk is measured beside, each a whole server in a few lines: `livepeers.py raw|daphne|tutorial PORT`.

None knows a member, keeps a message or says in what order: what they show is what their layer can do at most.

raw       picows on uvloop: what comes is sent to everybody, one send() each. Nothing in Python is faster.
daphne    a bare ASGI application under daphne: accept, and an ASGI send to everybody.
tutorial  the chat of Channels' own tutorial: a consumer a socket, group_send, the in-memory layer.

All answer GET / in some way, which says that they are up.
"""

import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

BACKLOG = 4096
GROUP = "chat_bench"

type Message = dict[str, Any]


def raw(port: int) -> None:
    """picows: every member of the one room in a set."""
    import uvloop  # noqa: PLC0415 - each peer loads only what it is made of
    from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_create_server  # noqa: PLC0415

    members: dict[WSTransport, None] = {}

    class Member(WSListener):
        def on_ws_connected(self, transport: WSTransport) -> None:
            members[transport] = None

        def on_ws_disconnected(self, transport: WSTransport) -> None:
            members.pop(transport, None)

        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            if frame.msg_type == WSMsgType.TEXT:
                said = frame.get_payload_as_bytes()
                for member in members:
                    member.send(WSMsgType.TEXT, said)
            elif frame.msg_type == WSMsgType.CLOSE:
                transport.disconnect()

    async def serve() -> None:
        server = await ws_create_server(lambda _request: Member(), "127.0.0.1", port, backlog=BACKLOG)
        await server.serve_forever()

    uvloop.run(serve())


def under_daphne(application: Any, port: int) -> None:
    """As the product is served, with the same backlog."""
    from daphne.server import Server  # noqa: PLC0415

    endpoint = f"tcp:port={port}:interface=127.0.0.1:backlog={BACKLOG}"
    Server(application=application, endpoints=[endpoint], websocket_timeout=-1).run()


def daphne(port: int) -> None:
    """A bare ASGI application: no framework between it and the server."""
    members: dict[int, Callable[[Message], Awaitable[None]]] = {}

    async def application(scope: Message, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 204, "headers": []})
            return await send({"type": "http.response.body"})
        await receive()
        await send({"type": "websocket.accept"})
        members[id(send)] = send
        try:
            while (message := await receive())["type"] == "websocket.receive":
                said = {"type": "websocket.send", "text": message["text"]}
                for member in list(members.values()):
                    await member(said)
        finally:
            del members[id(send)]

    under_daphne(application, port)


def tutorial(port: int) -> None:
    """https://channels.readthedocs.io/en/stable/tutorial/part_3.html, with the layer of its tests.

    Its pages and its AuthMiddlewareStack are left out: nobody is asked who they are, which only helps it.
    """
    from django.conf import settings  # noqa: PLC0415

    layer = {"BACKEND": "channels.layers.InMemoryChannelLayer"}
    settings.configure(CHANNEL_LAYERS={"default": layer}, DATABASES={}, SECRET_KEY="none")
    from channels.generic.websocket import AsyncWebsocketConsumer  # noqa: PLC0415 - needs the settings
    from channels.routing import ProtocolTypeRouter  # noqa: PLC0415

    class ChatConsumer(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            await self.channel_layer.group_add(GROUP, self.channel_name)
            await self.accept()

        async def disconnect(self, code: int) -> None:
            await self.channel_layer.group_discard(GROUP, self.channel_name)

        async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
            message = json.loads(text_data or "")["message"]
            await self.channel_layer.group_send(GROUP, {"type": "chat.message", "message": message})

        async def chat_message(self, event: Message) -> None:
            await self.send(text_data=json.dumps({"message": event["message"]}))

    async def page(scope: Message, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    under_daphne(ProtocolTypeRouter({"websocket": ChatConsumer.as_asgi(), "http": page}), port)


if __name__ == "__main__":
    {"raw": raw, "daphne": daphne, "tutorial": tutorial}[sys.argv[1]](int(sys.argv[2]))
