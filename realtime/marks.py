"""How far each member has read, and where they are named."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import batched
from typing import Any

from django.db import transaction
from django.db.models import Q

from realtime import blocks, bus, frames, ids, rooms, statements
from realtime.models import Entry, Mention, Participant, Room
from realtime.statements import Seat

MAX_NAMED_BY_TEXT = 8
LONGEST_NAME = 5  # words
READS_AT_ONCE = 200

type Named = list[frames.Person]


def mark_read(member: Any, room_id: int, seq: int) -> None:
    """The member has read up to `seq` (never back, never past the head). Raises Room.DoesNotExist."""
    rooms.room_for(member, room_id)
    mark_all_read([(member.pk, room_id, seq)])


def mark_all_read(reads: Collection[tuple[int, int, int]]) -> None:
    """(member, room, seq) of many members; who is not in the room is left out.

    Five statements at most and one word to each room for every 200, so that a thousand readers cost what a few do.
    """
    for some in batched(sorted(reads), READS_AT_ONCE, strict=False):
        with transaction.atomic():
            _mark_read(some)


def _mark_read(reads: Collection[tuple[int, int, int]]) -> None:
    wanted = {(room, member): seq for member, room, seq in reads}
    heads = rooms.heads({room for room, _member in wanted})
    here = statements.seats(wanted)
    ahead = {
        place: reached
        for place, seat in here.items()
        if (reached := min(wanted[place], heads[place[0]][0])) > seat.read_seq
    }
    numbers = {(room, head): n for room, (head, n) in heads.items()}
    numbers |= statements.messages_up_to(
        {(room, seq) for (room, _member), seq in ahead.items()} - numbers.keys()
    )
    moved = {place: Seat(here[place].pk, seq, numbers[place[0], seq]) for place, seq in ahead.items()}
    statements.have_read(moved.values())
    words: dict[int, list[frames.Parcel]] = {}
    for (room, member), seat in moved.items():
        frame = {"type": "read", "room": ids.encode(room), "seq": seat.read_seq, "n": seat.read_n}
        words.setdefault(room, []).append(frames.Parcel(0, seat.read_n, "read", member, frames.dumps(frame)))
    heard = {rooms.channel(room): frames.Word(parcels) for room, parcels in words.items()}
    transaction.on_commit(partial(bus.publish, heard), robust=True)


# ------------------------------------------------------------------------------------------------- named


@dataclass(frozen=True)
class Naming:
    """A text and whom its sender says it names; without that, names are looked for in the text."""

    author: int
    text: str
    mentions: Collection[int] = ()

    @property
    def names(self) -> set[str]:
        """What may be a name behind an @: one to five words, without the signs a sentence puts behind them."""
        found: set[str] = set()
        for part in self.text.split("@")[1 : MAX_NAMED_BY_TEXT + 1]:
            words = part[:200].split()[:LONGEST_NAME] if part and not part[0].isspace() else []
            for count in range(1, len(words) + 1):
                name = " ".join(words[:count])
                found |= {name, name.rstrip(".,:;!?)…»\"'")}
        return found - {""}


def named_in(room: Room, texts: Iterable[Naming]) -> list[Named]:
    """For each text, the participants of the room it names with an @, never its author, and nobody who is apart
    from the author by a block. No query for texts without an @, else two for any number.
    """
    texts = list(texts)
    asking = [text for text in texts if "@" in text.text]
    if not asking:
        return [[] for _ in texts]
    members = {pk for text in asking for pk in text.mentions}
    names = set().union(*(text.names for text in asking if not text.mentions))
    here = Participant.objects.filter(room=room, left_seq=None)
    here = here.filter(Q(member__in=members) | Q(member__display_name__in=names))
    people = list(here.values_list("member", "member__display_name")[: 10 * frames.MAX_MENTIONS])
    apart = blocks.unheard_by({text.author for text in asking}) if people else {}
    return [_named(text, people, apart.get(text.author, frozenset())) for text in texts]


def _named(text: Naming, people: list[tuple[int, str]], apart: Collection[int]) -> Named:
    found = []
    for pk, name in people:
        is_meant = pk in text.mentions if text.mentions else name in text.names
        if is_meant and f"@{name}" in text.text and pk != text.author and pk not in apart:
            found.append(frames.person(pk, name))
    return found[: frames.MAX_MENTIONS]


def name_all(room: Room, named: Iterable[tuple[int, Named]]) -> None:
    """Write down who is named at which seq. One statement, none when nobody is."""
    rows = [
        Mention(room=room, seq=seq, member_id=ids.decode(one["id"]), name=one["name"])
        for seq, who in named
        for one in who
    ]
    if rows:
        Mention.objects.bulk_create(rows, ignore_conflicts=True)


def name_anew(room: Room, seq: int, named: Named) -> None:
    """A message was changed or removed: only these are named in it now. Two statements at most."""
    Mention.objects.filter(room=room, seq=seq).exclude(
        member__in=[ids.decode(one["id"]) for one in named]
    ).delete()
    name_all(room, [(seq, named)])


def named_at(room_id: int, rows: Iterable[Entry]) -> dict[int, Named]:
    """By message, who is named in it, by the name that stands there. One query when any text holds an @."""
    seqs = [row.seq for row in rows if row.kind == Entry.Kind.MESSAGE and "@" in row.text]
    if not seqs:
        return {}
    found: dict[int, Named] = {}
    who = Mention.objects.filter(room=room_id, seq__in=seqs).order_by("pk")
    for seq, pk, name in who.values_list("seq", "member", "name"):
        found.setdefault(seq, []).append(frames.person(pk, name))
    return found
