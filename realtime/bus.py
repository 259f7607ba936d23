"""Between processes: a word to every hub that listens, in this process or through Redis.

The bus is a hint. A word that is lost costs a second (the hubs compare with the database), never a message.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Mapping
from functools import cache
from time import monotonic

import redis
import redis.asyncio
import redis.asyncio.retry
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

log = logging.getLogger(__name__)

PATIENCE_S = 0.2
BREAK_S = 2.0
RECONNECT_S = 0.5
SILENCE_S = 2.0  # then Redis is asked whether it is still there; the same again, and it is not

type Words = Mapping[str, object]  # by channel; in this process as they are, to others as their text

_ears: set["Ear"] = set()
_ears_guard = threading.Lock()
_closed_until = 0.0  # the breaker: until then Redis is not asked again


def publish(words: Words) -> None:
    """Tell every listener of these channels. From any thread; waits 200 ms at most; never raises. One round trip.

    Without Redis, and while Redis does not answer, only this process hears it.
    """
    if words and not (settings.REDIS_URL and _publish_to_redis(words)):
        with _ears_guard:
            here = list(_ears)
        for ear in here:
            ear.tell(words)


def is_up() -> bool:
    """Whether the bus between processes answered last time (always, where there is only one process)."""
    return not settings.REDIS_URL or monotonic() >= _closed_until


def _publish_to_redis(words: Words) -> bool:
    global _closed_until
    if monotonic() < _closed_until:
        return False
    try:
        with _publisher(settings.REDIS_URL).pipeline(transaction=False) as together:
            for channel, word in words.items():
                together.publish(channel, str(word))
            together.execute()
    except (redis.RedisError, OSError):
        _closed_until = monotonic() + BREAK_S
        log.warning("bus: Redis does not answer; this process goes on alone for %s s", BREAK_S)
        return False
    return True


@cache
def _publisher(url: str) -> redis.Redis:
    return redis.Redis.from_url(
        url, socket_timeout=PATIENCE_S, socket_connect_timeout=PATIENCE_S, retry=Retry(NoBackoff(), 0)
    )


class Ear:
    """Where one event loop hears: one connection, one subscription a channel.

    `hear(channel, word)` is called on the loop. `lost()` is called when words may have been missed.
    """

    def __init__(self, hear: Callable[[str, object], None], lost: Callable[[], None]) -> None:
        self.channels: set[str] = set()
        self._hear = hear
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._redis: redis.asyncio.client.PubSub | None = None
        self._reader: asyncio.Task[None] | None = None
        self._confirmed: dict[str, asyncio.Event] = {}

    async def start(self, *channels: str) -> None:
        """Begin to hear, with the first channels."""
        with _ears_guard:
            _ears.add(self)
        self.channels.update(channels)
        if settings.REDIS_URL:
            self._reader = asyncio.create_task(self._read())

    async def stop(self) -> None:
        """Hear nothing more."""
        with _ears_guard:
            _ears.discard(self)
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)

    async def subscribe(self, channels: set[str]) -> None:
        """Hear these too. Returns once Redis confirmed it, or after 200 ms: the hub polls anyway."""
        self.channels |= channels
        if not settings.REDIS_URL or not channels:
            return
        waiting = [self._confirmed.setdefault(channel, asyncio.Event()) for channel in channels]
        with contextlib.suppress(redis.RedisError, OSError, TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                if self._redis is not None:
                    await self._redis.subscribe(*channels)
                for event in waiting:
                    await event.wait()

    async def unsubscribe(self, channel: str) -> None:
        """Hear this no more. Returns after 200 ms at most: a word too many is passed over."""
        self.channels.discard(channel)
        self._confirmed.pop(channel, None)
        if self._redis is not None:
            with contextlib.suppress(redis.RedisError, OSError, TimeoutError):
                async with asyncio.timeout(PATIENCE_S):
                    await self._redis.unsubscribe(channel)

    def tell(self, words: Words) -> None:
        """Words from this process, from whatever thread."""
        if heard := [(channel, word) for channel, word in words.items() if channel in self.channels]:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._heed_all, heard)

    def _heed_all(self, heard: list[tuple[str, object]]) -> None:
        for channel, word in heard:
            self._heed(channel, word)

    def _heed(self, channel: str, word: object) -> None:
        """Pass a word on. One that nobody understands (another version's, a stranger's) is as good as lost."""
        try:
            self._hear(channel, word)
        except Exception:
            log.exception("bus: a word on %s was not understood", channel)

    async def _read(self) -> None:
        """Read from Redis for ever; after a cut, subscribe again to everything."""
        while True:
            # It begins anew itself: left to the client, that would be within whoever's call met the cut first.
            client = redis.asyncio.Redis.from_url(
                settings.REDIS_URL,
                socket_connect_timeout=1,
                socket_timeout=1,
                retry=redis.asyncio.retry.Retry(NoBackoff(), 0),
                decode_responses=True,
                encoding_errors="replace",
            )
            try:
                async with client.pubsub() as pubsub:
                    asked: set[str] = set()
                    while not self.channels <= asked:  # more may be wanted while it connects
                        asked |= self.channels
                        await pubsub.subscribe(*asked)
                    self._redis = pubsub
                    self._lost()
                    await self._listen(pubsub)
            except (redis.RedisError, OSError):
                await asyncio.sleep(RECONNECT_S)
            except Exception:  # whatever it is: who stops reading is deaf for good
                log.exception("bus: reading failed; it begins anew")
                await asyncio.sleep(RECONNECT_S)
            finally:
                self._redis = None
                with contextlib.suppress(redis.RedisError, OSError):
                    await client.aclose()

    async def _listen(self, pubsub: redis.asyncio.client.PubSub) -> None:
        """Pass on what comes. Raises ConnectionError when Redis is silent and does not answer: a line that is half
        open would be listened to for hours."""
        was_asked = False
        while True:
            message = await pubsub.get_message(timeout=SILENCE_S)
            if message is not None:
                was_asked = False
                self._take(message)
            elif was_asked:
                raise redis.ConnectionError("silent")
            else:
                was_asked = True
                await pubsub.ping()

    def _take(self, message: dict[str, str]) -> None:
        if message["type"] == "message":
            self._heed(message["channel"], message["data"])
        elif message["type"] == "subscribe" and message["channel"] in self.channels:
            self._confirmed.setdefault(message["channel"], asyncio.Event()).set()
