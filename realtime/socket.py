"""A socket: one WebSocket of one tab. It reads frames, calls one verb for each, and tells the hub where it stands.

Everything the server sends passes through the socket's Line, so that its order is the order of `put`.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic
from typing import Any

from channels.consumer import AsyncConsumer
from channels.exceptions import StopConsumer
from django.conf import settings
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied, ValidationError
from django.db import OperationalError
from django.utils import translation
from django.utils.translation import gettext as _

from realtime import chat, frames, hub, ids, live, rooms
from realtime.lines import WINDOW, Line, Watch
from realtime.models import Entry, Participant

log = logging.getLogger(__name__)

SUBPROTOCOL = "circles.v1"
HELLO_WITHIN_S = 5.0
PING_S = 20
BAD_FRAME, WRONG_VERSION, TOO_FAST, BROKEN = 4400, 4406, 4013, 1011
CODES = {"not_found", "forbidden", "too_long", "bad_field", "too_fast", "key_reused", "slow_mode", "closed"}
LIMITS = {
    "text": chat.MAX_TEXT,
    "frame": frames.MAX_FRAME_BYTES,
    "watch": frames.MAX_WATCHED,
    "topics": frames.MAX_TOPICS,
    "sockets": hub.MAX_LINES_A_MEMBER,
    "sync": chat.MAX_PAGE,
    "history": chat.MAX_HISTORY,
}


class Bucket:
    """How often something may happen: `size` at once, then `a_second`."""

    def __init__(self, size: float, a_second: float) -> None:
        self._left, self._size, self._a_second, self._at = size, size, a_second, monotonic()

    def take(self) -> bool:
        """Whether it may happen now."""
        now = monotonic()
        self._left = min(self._size, self._left + (now - self._at) * self._a_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Socket(AsyncConsumer):
    """`scope["user"]` is the member or None, `scope["session_key"]` their session: config.sockets sees to both."""

    channel_layer_alias = "none"  # the hub delivers: no layer, no queue and task for each socket
    line: Line
    member: Any

    async def dispatch(self, message: dict[str, Any]) -> None:
        """As Channels', without its hop to a thread for each frame: the pool tidies its own connections."""
        await getattr(self, message["type"].replace(".", "_"))(message)

    # ------------------------------------------------------------------------------------ come and go

    async def websocket_connect(self, message: dict[str, Any]) -> None:
        offered = self.scope.get("subprotocols", [])
        chosen = SUBPROTOCOL if SUBPROTOCOL in offered else None
        await self.send({"type": "websocket.accept", "subprotocol": chosen})  # type: ignore[no-untyped-call]
        self.member = self.scope.get("user")
        self.is_known = False
        self.waiting_for_hello: asyncio.TimerHandle | None = None
        self.frames, self.writes = Bucket(300, 60), Bucket(30, 5)
        session_key = self.scope.get("session_key", "")
        digest = rooms.session_digest(session_key) if session_key else ""
        self.line = Line(self.send, self.member.pk if self.member else 0, session_key, digest)
        if offered and chosen is None:
            self.line.close(WRONG_VERSION)
        elif self.member is None:
            self.line.close(hub.SIGN_IN)
        else:
            await self._arrive()

    async def _arrive(self) -> None:
        self.hub = hub.current()
        try:
            has_room = await self.hub.add(self.line)
        except Exception:
            log.exception("socket: the hub did not start")
            await self.hub.remove(self.line)
            return self.line.close(BROKEN)
        if not has_room:
            return self.line.close(hub.TOO_MANY)
        self.is_known = True
        loop = asyncio.get_running_loop()
        self.waiting_for_hello = loop.call_later(HELLO_WITHIN_S, self.line.close, BAD_FRAME)

    async def websocket_disconnect(self, message: dict[str, Any]) -> None:
        self.line.is_open = False
        if self.waiting_for_hello is not None:
            self.waiting_for_hello.cancel()
        if self.is_known:
            await self.hub.remove(self.line)
        raise StopConsumer

    # ----------------------------------------------------------------------------------------- frames

    async def websocket_receive(self, message: dict[str, Any]) -> None:
        if not self.line.is_open or not self.is_known:
            return
        self.line.last_sign = monotonic()
        if settings.RATE_LIMITS and not self.frames.take():
            return self.line.close(TOO_FAST)
        try:
            if message.get("text") is None:
                raise frames.BrokenFrame("binary")
            raw = frames.loads(message["text"])
        except frames.BrokenFrame:
            return self.line.close(BAD_FRAME)
        await self._answer(raw)

    async def _answer(self, raw: Mapping[str, Any]) -> None:
        """Read one frame and do what it says; every "no" becomes an `error` frame here."""
        kind = raw.get("type")
        if self.waiting_for_hello is not None and kind != "hello":
            return self.line.close(BAD_FRAME)
        if not isinstance(kind, str) or kind not in frames.FORMS:
            return
        try:
            form = frames.FORMS[kind].of(raw)
            await getattr(self, f"do_{kind}")(form)
        except (ValidationError, PermissionDenied, ObjectDoesNotExist, OperationalError) as no:
            self._refuse(no, raw)
        except Exception:
            log.exception("socket: a %s frame failed", kind)
            self.line.close(BROKEN)

    def _refuse(self, no: Exception, raw: Mapping[str, Any]) -> None:
        code, detail, more = self._reason(no)
        frame: dict[str, Any] = {"type": "error", "code": code, "detail": detail} | more
        for name in ("ref", "room"):
            if isinstance(raw.get(name), str | int) and len(str(raw[name])) <= 64:
                frame[name] = raw[name]
        self._put(frame)

    def _reason(self, no: Exception) -> tuple[str, str, dict[str, int]]:
        """What an `error` frame says of a "no": code, words in the member's language, retry_after if it may help."""
        with translation.override(self.member.language):
            if isinstance(no, ValidationError):
                code = str(getattr(no, "code", ""))
                code = code if code in CODES else "bad_field"
                return code, no.messages[0], {"retry_after": 1} if code in {"too_fast", "slow_mode"} else {}
            if isinstance(no, PermissionDenied):
                return "forbidden", str(no) or _("You may not do this."), {}
            if isinstance(no, ObjectDoesNotExist):
                return "not_found", _("This is not here, or not yours to see."), {}
            return "too_fast", _("That took too long. It is tried again in a moment."), {"retry_after": 1}

    def _put(self, frame: Mapping[str, Any]) -> None:
        self.line.put(frames.dumps(frame))

    # -------------------------------------------------------------------------------- hello and watch

    async def do_hello(self, form: frames.Hello) -> None:
        if self.waiting_for_hello is None:
            raise frames.bad_field("type")
        if form.v != 1:
            return self.line.close(WRONG_VERSION)
        await self.hub.watch(self.line, form.watch)
        mine, is_alive = await hub.in_thread(self._find_out)()
        self.waiting_for_hello.cancel()
        self.waiting_for_hello = None
        if not is_alive:
            return self.line.close(hub.SIGN_IN)
        welcome = {
            "type": "welcome",
            "session": secrets.token_hex(8),
            "me": self.member.public_id,
            "ping": PING_S,
            "window": WINDOW,
            "limits": LIMITS,
            "rooms": {ids.encode(room_id): self._standing(here) for room_id, here in mine.items()},
        }
        self._put(welcome)
        for room_id in form.watch:
            await self._begin(room_id, mine.get(room_id), form.cursors.get(room_id))

    def _find_out(self) -> tuple[dict[int, Participant], bool]:
        """Where the member stands, and whether they are still signed in: who signed out between the handshake
        and the hub's knowing of this socket would else be overheard. Two or three queries."""
        session_keys = {self.line.session_key} - {""}
        sessions, members = hub.dead(session_keys, {self.member.pk})
        return rooms.standing(self.member), not sessions and not members

    def _standing(self, here: Participant) -> dict[str, Any]:
        room = here.room
        read = [here.read_seq, here.read_n]
        return {
            "epoch": self.hub.epoch,
            "head": room.head,
            "n": room.n,
            "read": read,
            "mentions": here.mentions,
        }

    async def do_watch(self, form: frames.WatchMore) -> None:
        for room_id in form.drop:
            await self.hub.unwatch(self.line, room_id)
        if len(self.line.watches.keys() | form.add.keys()) > frames.MAX_WATCHED:
            raise frames.bad_field("add")
        await self.hub.watch(self.line, form.add)
        mine = await hub.in_thread(rooms.standing)(self.member, form.add.keys())
        for room_id, cursor in form.add.items():
            await self._begin(room_id, mine.get(room_id), cursor, form.ref)

    async def _begin(
        self,
        room_id: int,
        here: Participant | None,
        cursor: tuple[int, int] | None,
        ref: str | int | None = None,
    ) -> None:
        """Start one watched room where the client left it, or at its head."""
        watch = self.line.watches.get(room_id)
        if here is None or watch is None:
            await self.hub.unwatch(self.line, room_id)
            error = {"type": "error", "room": ids.encode(room_id), "code": "not_found"}
            with translation.override(self.member.language):
                error["detail"] = _("This is not here, or not yours to see.")
            return self._put(error | ({} if ref is None else {"ref": ref}))
        reason = self._cannot_resume(cursor, here.room.head)
        if cursor is not None and reason is None:
            return await self._catch_up(watch, cursor[1], ref)
        reset = {
            "type": "reset",
            "room": ids.encode(room_id),
            "epoch": self.hub.epoch,
            "head": here.room.head,
        }
        self._put(reset | {"reason": reason})
        self._resume(watch, here.room.head, is_live=True)

    def _cannot_resume(self, cursor: tuple[int, int] | None, head: int) -> str | None:
        if cursor is None:
            return "new"
        if cursor[0] != self.hub.epoch:
            return "epoch"
        return "ahead" if cursor[1] > head else None

    async def _catch_up(self, watch: Watch, after: int, ref: str | int | None = None) -> None:
        """Send the next piece of the log. The watch is buffering: the last piece makes it live with no gap."""
        try:
            page = await hub.in_thread(chat.entries)(self.member, watch.room_id, after)
        except ObjectDoesNotExist:
            if self.line.watches.get(watch.room_id) is watch:
                await self.hub.unwatch(self.line, watch.room_id)
                self.hub.gone(self.line, watch.room_id, after, "left")
            return
        if self.line.watches.get(watch.room_id) is not watch:
            return
        frame: dict[str, Any] = {} if ref is None else {"ref": ref}
        frame |= {"type": "sync", "room": ids.encode(watch.room_id), "epoch": self.hub.epoch, "after": after}
        frame |= {"entries": page.rows, "more": page.more, "live": not page.more}
        self._put(frame)
        self._resume(watch, page.rows[-1]["seq"] if page.rows else after, is_live=not page.more)

    def _resume(self, watch: Watch, seq: int, *, is_live: bool) -> None:
        left_at = watch.resume(seq, is_live=is_live)
        if left_at:
            self.hub.drop(self.line, watch.room_id)
            self.hub.gone(self.line, watch.room_id, left_at, "left")

    async def do_sync(self, form: frames.Sync) -> None:
        await self.hub.watch(self.line, [form.room]) if form.room in self.line.watches else None
        watch = self.line.watches.get(form.room)
        if watch is not None:
            head = (await hub.in_thread(rooms.heads)([form.room])).get(form.room, (0, 0))[0]
            if form.after > head:
                reset = {
                    "type": "reset",
                    "room": ids.encode(form.room),
                    "epoch": self.hub.epoch,
                    "head": head,
                }
                self._put(reset | {"reason": "ahead"})
                return self._resume(watch, head, is_live=True)
            return await self._catch_up(watch, form.after, form.ref)
        page = await hub.in_thread(chat.entries)(self.member, form.room, form.after)
        frame = {"type": "sync", "room": ids.encode(form.room), "epoch": self.hub.epoch, "after": form.after}
        frame |= {"entries": page.rows, "more": page.more, "live": False}
        self._put(frame | ({} if form.ref is None else {"ref": form.ref}))

    async def do_history(self, form: frames.History) -> None:
        page = await hub.in_thread(chat.history)(self.member, form.room, form.before, form.limit)
        frame: dict[str, Any] = {"type": "history", "room": ids.encode(form.room), "epoch": self.hub.epoch}
        frame |= {"messages": page.rows, "start": not page.more}
        self._put(frame | ({} if form.ref is None else {"ref": form.ref}))

    # ------------------------------------------------------------------------------------------ write

    async def do_send(self, form: frames.Send) -> None:
        await self._write(form, chat.post, form.text, form.key, form.reply_to, form.language)

    async def do_edit(self, form: frames.Edit) -> None:
        await self._write(form, chat.edit, form.seq, form.text, form.key)

    async def do_delete(self, form: frames.Delete) -> None:
        await self._write(form, chat.delete, form.seq, form.key)

    async def do_react(self, form: frames.React) -> None:
        await self._write(form, chat.react, form.seq, form.emoji, form.on, form.key)

    async def _write(self, form: frames.InRoom, verb: Callable[..., tuple[Entry, bool]], *given: Any) -> None:
        """Call the verb; `ok` only after its commit."""
        if settings.RATE_LIMITS and not self.writes.take():
            raise ValidationError(_("That was a lot at once. Please wait a moment."), code="too_fast")
        entry, is_known = await hub.in_thread(verb)(self.member, form.room, *given)
        frame: dict[str, Any] = {} if form.ref is None else {"ref": form.ref}
        frame |= {"type": "ok", "room": ids.encode(form.room), "seq": entry.seq, "n": entry.n}
        self._put(frame | {"at": entry.at.isoformat(), "duplicate": is_known})

    # -------------------------------------------------------------------------------- small, coalesced

    async def do_read(self, form: frames.Read) -> None:
        self.hub.read(self.member.pk, form.room, form.seq)

    async def do_typing(self, form: frames.Typing) -> None:
        watch = self.line.watches.get(form.room)
        if watch is not None and watch.is_live:
            self.hub.typing(self.member.pk, form.room)

    async def do_ack(self, form: frames.Ack) -> None:
        for room_id, seq in form.rooms.items():
            if (watch := self.line.watches.get(room_id)) is not None:
                watch.ack(seq)

    async def do_follow(self, form: frames.Follow) -> None:
        may: Callable[..., Awaitable[list[str]]] = hub.in_thread(self._allowed)
        allowed = await may(form.topics)
        await self.hub.follow(self.line, set(allowed))
        ref = {} if form.ref is None else {"ref": form.ref}
        for topic in form.topics:
            if topic not in allowed:
                with translation.override(self.member.language):
                    detail = _("This is not here, or not yours to see.")
                self._put(ref | {"type": "error", "topic": topic, "code": "not_found", "detail": detail})
        self._put(ref | {"type": "ok", "topics": allowed})

    def _allowed(self, topics: list[str]) -> list[str]:
        return [topic for topic in topics if live.may_follow(self.member, topic)]
