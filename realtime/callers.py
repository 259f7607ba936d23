"""Callers: the members whose sockets end in this process, how many each has, and how much each may send."""

from collections import defaultdict
from collections.abc import Callable, Collection
from time import monotonic

from django.contrib.auth import get_user_model
from django.contrib.sessions.models import Session

from realtime.lines import Line

MAX_LINES_A_MEMBER = 8


class Bucket:
    """How often something may happen: `size` at once, then `a_second`."""

    def __init__(self, size: float, a_second: float) -> None:
        self._left, self._size, self._a_second, self._at = size, size, a_second, monotonic()

    def take(self) -> bool:
        """Whether it may happen now."""
        self._refill()
        if self._left < 1:
            return False
        self._left -= 1
        return True

    @property
    def is_full(self) -> bool:
        """Whether it remembers nothing any more."""
        self._refill()
        return self._left >= self._size

    def _refill(self) -> None:
        now = monotonic()
        self._left = min(self._size, self._left + (now - self._at) * self._a_second)
        self._at = now


class Allowance:
    """What one member may send, from however many sockets: frames, and among them what is written to a log."""

    def __init__(self) -> None:
        self.frames, self.writes = Bucket(300, 60), Bucket(30, 5)

    @property
    def is_full(self) -> bool:
        """Whether nothing was taken from it lately."""
        return self.frames.is_full and self.writes.is_full


class Callers:
    """The sockets of this process by member."""

    def __init__(self) -> None:
        self.lines: set[Line] = set()
        self._by_member: defaultdict[int, set[Line]] = defaultdict(set)
        self._allowances: dict[int, Allowance] = {}

    def add(self, line: Line) -> bool:
        """One more. False when the member has too many already."""
        if sum(other.is_open for other in self._by_member[line.member_id]) >= MAX_LINES_A_MEMBER:
            return False
        self._by_member[line.member_id].add(line)
        self.lines.add(line)
        return True

    def remove(self, line: Line) -> None:
        """One less."""
        self.lines.discard(line)
        here = self._by_member[line.member_id]
        here.discard(line)
        if not here:
            del self._by_member[line.member_id]

    def of(self, member_id: int) -> Collection[Line]:
        """The member's sockets."""
        return self._by_member.get(member_id, ())

    def allowance(self, member_id: int) -> Allowance:
        """What the member may send. It is kept while they are away, so that coming again gives nothing new."""
        return self._allowances.setdefault(member_id, Allowance())

    def forget_idle(self) -> None:
        """Drop what remembers nothing: each turn of the hub."""
        idle = [pk for pk, one in self._allowances.items() if pk not in self._by_member and one.is_full]
        for pk in idle:
            del self._allowances[pk]


type Find = Callable[[set[str]], set[str]]


def _none(tokens: set[str]) -> set[str]:
    return set()


_find_dead_tokens: Find = _none


def tokens_are_checked_by(find: Find) -> None:
    """`find(tokens)` says which of the tokens that sockets came with were revoked. What a token is, is not known here."""
    global _find_dead_tokens
    _find_dead_tokens = find


def dead(lines: Collection[Line]) -> list[Line]:
    """Those of these sockets whose session has ended, token was revoked or member is no longer active.

    One query for each of the three that occurs.
    """
    sessions = {line.session_key for line in lines} - {""}
    members = {line.member_id for line in lines}
    tokens = {line.token for line in lines} - {""}
    if sessions:
        sessions -= set(Session.objects.filter(pk__in=sessions).values_list("pk", flat=True))
    if members:
        active = get_user_model().objects.filter(pk__in=members, is_active=True)
        members -= set(active.values_list("pk", flat=True))
    if tokens:
        tokens = _find_dead_tokens(tokens)
    return [
        line
        for line in lines
        if line.session_key in sessions or line.token in tokens or line.member_id in members
    ]
