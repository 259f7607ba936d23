"""A socket: one WebSocket of one tab. It reads frames, calls one verb for each, and tells the hub where it stands.

Everything the server sends passes through the socket's Line, so that its order is the order of `put`.
"""

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic
from typing import Any

from django.conf import settings
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied, ValidationError
from django.db import OperationalError
from django.utils import translation
from django.utils.translation import gettext as _

from realtime import bell, blocks, callers, chat, frames, hub, ids, live, reading, rooms
from realtime.blocks import Unheard
from realtime.callers import MAX_LINES_A_MEMBER
from realtime.lines import WINDOW, Line, Message, Ready, Watch
from realtime.rooms import Here, Standing
from realtime.threads import Together, in_thread
from realtime.writing import Wish

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
    "sockets": MAX_LINES_A_MEMBER,
    "sync": reading.MAX_PAGE,
    "history": reading.MAX_HISTORY,
}


type Found = tuple[Standing, Unheard]
type Arrived = tuple[Found, int]  # and how many notifications are unread


def _find(member_ids: list[int]) -> list[Found]:
    """Where each of these members stands and whom they hear nothing of. Three queries for any number."""
    standing, unheard = rooms.standing_of(member_ids), blocks.unheard_by(member_ids)
    return [(standing[pk], unheard[pk]) for pk in member_ids]


def _find_signed_in(lines: list[Line]) -> list[Arrived | None]:
    """As `_find`, with what the bell counts, for the members at these sockets; None for who is no longer signed in.

    Seven queries at most.
    """
    member_ids = [line.member_id for line in lines]
    found, unread, ended = _find(member_ids), bell.counts(member_ids), set(callers.dead(lines))
    arrived = zip(lines, zip(found, unread, strict=True), strict=True)
    return [None if line in ended else one for line, one in arrived]


_found: Together[int, Found] = Together(_find)
_found_signed_in: Together[Line, Arrived | None] = Together(_find_signed_in)


class Socket:
    """`scope["user"]` is the member or None, `scope["session_key"]` their session or `scope["token"]` the name of
    the token they came with: config.sockets sees to all three.

    Messages are handled one after the other by a task of the socket's own. The server may cancel the task that
    brings them (daphne does, five seconds after the end) and never one that is halfway through the hub.
    """

    def __init__(self, scope: Mapping[str, Any], send: Callable[[Message], Awaitable[None]]) -> None:
        self.scope = scope
        self.send = send
        self.member: Any = scope.get("user")
        self.hub = hub.current()
        self.is_known = False
        self.waiting_for_hello: asyncio.TimerHandle | None = None
        session_key = scope.get("session_key", "")
        self.line = Line(
            send,
            self.member.pk if self.member else 0,
            session_key=session_key,
            session=rooms.session_digest(session_key) if session_key else "",
            token=scope.get("token", ""),
            wire=scope.get("wire"),
        )
        self._waiting: deque[Message] = deque()
        self._worker: asyncio.Task[None] | None = None

    # ------------------------------------------------------------------------------------ come and go

    async def run(self, receive: Callable[[], Awaitable[Message]]) -> None:
        """Serve until the transport has gone. However this ends, the socket leaves the hub."""
        try:
            while (message := await receive())["type"] != "websocket.disconnect":
                self._handle_next(message)
        finally:
            if self.line.wire is not None:
                self.line.wire.end()
            self.line.is_open = False
            self._waiting.clear()  # nobody is there to hear the answers
            await asyncio.shield(self._handle_next({"type": "websocket.disconnect"}))

    def _hear(self, text: str) -> None:
        self._handle_next({"type": "websocket.receive", "text": text})

    def _handle_next(self, message: Message) -> asyncio.Task[None]:
        self._waiting.append(message)
        if self._worker is None or self._worker.done():
            # Eager: most frames need no turn of the loop, the acknowledgements of a whole room above all.
            self._worker = asyncio.Task(self._work(), loop=asyncio.get_running_loop(), eager_start=True)
        return self._worker

    async def _work(self) -> None:
        while self._waiting:
            message = self._waiting.popleft()
            try:
                await getattr(self, message["type"].replace(".", "_"))(message)
            except Exception:
                log.exception("socket: %s failed", message["type"])
                self.line.close(BROKEN)

    async def websocket_connect(self, message: Message) -> None:
        offered = self.scope.get("subprotocols", [])
        chosen = SUBPROTOCOL if SUBPROTOCOL in offered else None
        await self.send({"type": "websocket.accept", "subprotocol": chosen})
        if self.line.wire is not None:
            self.line.wire.hear(self._hear)
        if offered and chosen is None:
            self.line.close(WRONG_VERSION)
        elif self.member is None:
            self.line.close(hub.SIGN_IN)
        else:
            await self._arrive()

    async def _arrive(self) -> None:
        if self.hub.is_draining:
            return self.line.close(hub.RESTARTING)
        try:
            has_room = await self.hub.add(self.line)
        except Exception:
            log.exception("socket: the hub did not start")
            return self.line.close(BROKEN)
        if not has_room:
            return self.line.close(hub.TOO_MANY)
        self.is_known = True
        loop = asyncio.get_running_loop()
        self.waiting_for_hello = loop.call_later(HELLO_WITHIN_S, self.line.close, BAD_FRAME)

    async def websocket_disconnect(self, message: Message) -> None:
        if self.waiting_for_hello is not None:
            self.waiting_for_hello.cancel()
        await self.hub.remove(self.line)

    # ----------------------------------------------------------------------------------------- frames

    async def websocket_receive(self, message: Message) -> None:
        if not self.line.is_open or not self.is_known:
            return
        self.line.last_sign = monotonic()
        if settings.RATE_LIMITS and not self.hub.callers.allowance(self.member.pk).frames.take():
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
            try:
                await getattr(self, f"do_{kind}")(form)
            finally:
                self._settle()
        except (ValidationError, PermissionDenied, ObjectDoesNotExist, OperationalError) as no:
            self._refuse(no, raw)
        except Exception:
            log.exception("socket: a %s frame failed", kind)
            self.line.close(BROKEN)

    def _settle(self) -> None:
        """A read of the database that failed leaves its rooms to be asked for again, not waiting for ever: also where
        the client does not try again by itself, it is told when something is said.
        """
        for watch in list(self.line.watches.values()):
            if watch.is_buffering:
                self._resume(watch, watch.sent, is_live=False)
                watch.fall_behind()

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
        self.line.put(Ready(frames.dumps(frame)))

    # -------------------------------------------------------------------------------- hello and watch

    async def do_hello(self, form: frames.Hello) -> None:
        if self.waiting_for_hello is None:
            raise frames.bad_field("type")
        if form.v != 1:
            return self.line.close(WRONG_VERSION)
        self.waiting_for_hello.cancel()  # they came in time, however long the answer takes
        await self.hub.watch(self.line, form.watch)
        # Who signed out between the handshake and the hub's knowing of this socket would else be overheard.
        arrived = await _found_signed_in.ask(self.line)
        self.waiting_for_hello = None
        if arrived is None:
            return self.line.close(hub.SIGN_IN)
        found, unread = arrived
        mine = self._take_in(found)
        welcome = {
            "type": "welcome",
            "session": secrets.token_hex(8),
            "me": self.member.public_id,
            "ping": PING_S,
            "window": WINDOW,
            "limits": LIMITS,
            "notifications": unread,
            "rooms": {ids.encode(room_id): self._standing(here) for room_id, here in mine.items()},
        }
        self._put(welcome)
        self.line.is_welcome, self.line.unread = True, unread
        if self.line.has_rung:
            self.hub.bells.ring(self.member.pk)
        for room_id in form.watch:
            await self._begin(room_id, mine.get(room_id), form.cursors.get(room_id))

    async def _stand(self) -> dict[int, Here]:
        """The rooms the member is in; the line learns whom they hear nothing of and whether they are shown."""
        return self._take_in(await _found.ask(self.member.pk))

    def _take_in(self, found: Found) -> dict[int, Here]:
        standing, unheard = found
        self.line.unheard |= unheard
        self.line.name = self.member.display_name
        self.line.shown_as = self.line.name if standing.is_shown else ""
        return standing.rooms

    def _standing(self, here: Here) -> dict[str, Any]:
        read = [here.read_seq, here.read_n]
        return {
            "epoch": self.hub.epoch,
            "head": here.head,
            "n": here.n,
            "read": read,
            "mentions": here.mentions,
            "muted": here.muted,
        }

    async def do_watch(self, form: frames.WatchMore) -> None:
        for room_id in form.drop:
            await self.hub.unwatch(self.line, room_id)
        if len(self.line.watches.keys() | form.add.keys()) > frames.MAX_WATCHED:
            raise frames.bad_field("add")
        await self.hub.watch(self.line, form.add)
        mine = await self._stand() if form.add else {}
        for room_id, cursor in form.add.items():
            await self._begin(room_id, mine.get(room_id), cursor, form.ref)

    async def _begin(
        self,
        room_id: int,
        here: Here | None,
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
        reason = self._cannot_resume(cursor, here.head)
        if cursor is not None and reason is None:
            return await self._catch_up(watch, cursor[1], here.head, ref)
        self._reset(watch, here.head, reason)

    def _reset(self, watch: Watch, head: int, reason: str | None) -> None:
        """Tell the client to begin anew at the room's head, read together with the member's standing in it."""
        self.line.put(Ready(frames.reset(watch.room_id, self.hub.epoch, head, reason)))
        self._resume(watch, head, is_live=True, seen_at=head)

    def _cannot_resume(self, cursor: tuple[int, int] | None, head: int) -> str | None:
        if cursor is None:
            return "new"
        if cursor[0] != self.hub.epoch:
            return "epoch"
        return "ahead" if cursor[1] > head else None

    async def _catch_up(self, watch: Watch, after: int, seen_at: int, ref: str | int | None = None) -> None:
        """Send the next piece of the log. The watch is buffering: the last piece makes it live with no gap.

        `seen_at`: the head of the room when the database showed the member in it.
        """
        feed = self.hub.feed(watch.room_id)
        if feed is None:
            return
        left_at = -1
        while left_at != watch.left_at(seen_at):  # they may leave while it is read
            left_at = watch.left_at(seen_at)
            ready, reached, more = await feed.sync(after, reading.MAX_PAGE, self.line.unheard, left_at)
        if self.line.watches.get(watch.room_id) is not watch:
            return
        if ref is not None:
            ready = Ready(f'{{"ref":{frames.dumps_value(ref)},{ready.text[1:]}')
        self.line.put(ready)
        self._resume(watch, reached, is_live=not more, seen_at=seen_at)

    def _resume(self, watch: Watch, seq: int, *, is_live: bool, seen_at: int = 0) -> None:
        left_at = watch.resume(seq, is_live=is_live, seen_at=seen_at)
        if left_at:
            self._gone(watch, left_at)
        elif is_live:
            self.hub.tell_presence(self.line, watch.room_id)

    def _gone(self, watch: Watch, seq: int) -> None:
        """The member is no longer in a room that this socket watched."""
        if self.line.watches.get(watch.room_id) is watch:
            self.hub.drop(self.line, watch.room_id)
            self.hub.gone(self.line, watch.room_id, seq, "left")

    async def do_sync(self, form: frames.Sync) -> None:
        if form.room in self.line.watches:
            return await self._sync_watched(form)
        page = await in_thread(reading.entries)(self.member, form.room, form.after)
        frame = {"type": "sync", "room": ids.encode(form.room), "epoch": self.hub.epoch, "after": form.after}
        frame |= {"entries": page.rows, "more": page.more, "live": False}
        self._put(frame | ({} if form.ref is None else {"ref": form.ref}))

    async def _sync_watched(self, form: frames.Sync) -> None:
        watch = self.line.watches[form.room]
        if self._is_heard(watch, form.after):
            watch.buffer()
            return await self._catch_up(watch, form.after, 0, form.ref)
        await self.hub.watch(self.line, [form.room])
        here = (await self._stand()).get(form.room)
        if self.line.watches.get(form.room) is not watch:  # this socket is being ended
            return
        if here is None:
            return self._gone(watch, watch.left_at() or watch.sent)
        if form.after > here.head:
            return self._reset(watch, here.head, "ahead")
        await self._catch_up(watch, form.after, here.head, form.ref)

    def _is_heard(self, watch: Watch, seq: int) -> bool:
        """Whether this process has heard the room up to `seq` and further since the database showed the member in it.

        They have not left up to there, or the watch would have gone: it need not be asked again who only fell behind.
        """
        feed = self.hub.feed(watch.room_id)
        return (
            watch.is_theirs and feed is not None and feed.watches.get(self.line) is watch and seq <= feed.last
        )

    async def do_history(self, form: frames.History) -> None:
        read = in_thread(reading.history)
        page = await read(self.member, form.room, form.before, form.limit, form.after)
        frame: dict[str, Any] = {"type": "history", "room": ids.encode(form.room), "epoch": self.hub.epoch}
        frame |= {"messages": page.rows, "start" if form.after is None else "end": not page.more}
        self._put(frame | ({} if form.ref is None else {"ref": form.ref}))

    # ------------------------------------------------------------------------------------------ write

    async def do_send(self, form: frames.Send) -> None:
        wish = chat.message(
            self.member,
            form.text,
            form.key,
            reply_to=form.reply_to,
            language=form.language,
            mentions=form.mentions,
        )
        await self._write(form, wish)

    async def do_edit(self, form: frames.Edit) -> None:
        await self._write(form, chat.edited(self.member, form.seq, form.text, form.key))

    async def do_delete(self, form: frames.Delete) -> None:
        await self._write(form, chat.deleted(self.member, form.seq, form.key))

    async def do_react(self, form: frames.React) -> None:
        await self._write(form, chat.reaction(self.member, form.seq, form.emoji, form.on, form.key))

    async def _write(self, form: frames.InRoom, wish: Wish) -> None:
        """Write to the log; `ok` only after the commit."""
        if settings.RATE_LIMITS and not self.hub.callers.allowance(self.member.pk).writes.take():
            raise ValidationError(_("That was a lot at once. Please wait a moment."), code="too_fast")
        entry, is_known = await self.hub.write(form.room, wish)
        frame: dict[str, Any] = {} if form.ref is None else {"ref": form.ref}
        frame |= {"type": "ok", "room": ids.encode(form.room), "seq": entry.seq, "n": entry.n}
        self._put(frame | {"at": entry.at.isoformat(), "duplicate": is_known})

    # -------------------------------------------------------------------------------- small, coalesced

    async def do_read(self, form: frames.Read) -> None:
        self.hub.read(self.member.pk, form.room, form.seq)

    async def do_typing(self, form: frames.Typing) -> None:
        watch = self.line.watches.get(form.room)
        if watch is not None and watch.is_live and self.line.shown_as:
            self.hub.typing(self.member.pk, form.room)

    async def do_ack(self, form: frames.Ack) -> None:
        for room_id, seq in form.rooms.items():
            if (watch := self.line.watches.get(room_id)) is not None:
                watch.ack(seq)

    async def do_follow(self, form: frames.Follow) -> None:
        may: Callable[..., Awaitable[list[str]]] = in_thread(self._allowed)
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
