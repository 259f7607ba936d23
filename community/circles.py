"""Circles: open one, find one, join and leave. Whoever is in a circle is in its room, too."""

from typing import Any

from django.conf import settings
from django.core import signing
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils.text import slugify
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from community import members, sign_ins
from community.models import Circle, CircleMembership, Interest, Member, Place
from community.models.places import fold
from realtime import blocks, clock, ids, notify, rooms
from realtime.models import Participant, Room
from realtime.prepared import ID, IDS, TEXT, WORDS, prepared

IN, ASKED = CircleMembership.State.IN, CircleMembership.State.ASKED
INVITATION_SALT = "circle invitation v1"
INVITATION_DAYS = 14
WHAT_BECOMES = gettext_lazy("Who has been in it longest becomes its host; an empty circle closes.")


def circle_for(member: Member | None, circle_id: int, *, invitation: str = "", lock: bool = False) -> Circle:
    """The circle, when the member (None: signed out) may know of it, or holds an invitation to it. One query.

    Raises Circle.DoesNotExist: not there, closed and not yours look alike.
    """
    invited = member is not None and invitation and _invited_to(invitation) == circle_id
    if lock:
        circles = Circle.objects.filter(closed_at=None) if invited else Circle.objects.open_to(member)
        return circles.select_for_update(of=("self",)).get(pk=circle_id)
    reader = None if invited or member is None else member.pk
    found = _open(reader=reader, circle=circle_id, is_invited=bool(invited))
    if not found:
        raise Circle.DoesNotExist
    return found[0]


@prepared(reader=ID, circle=ID)
def _open(*, reader: Any, circle: Any, is_invited: bool) -> QuerySet[Circle]:
    circles = Circle.objects.filter(closed_at=None) if is_invited else Circle.objects.open_to(reader)
    return circles.for_list().filter(pk=circle)


def invitation_to(circle: Circle) -> str:
    """What a host hands on so that somebody may see and join a circle by invitation; good for 14 days."""
    return signing.dumps(ids.encode(circle.pk), salt=INVITATION_SALT)


def _invited_to(invitation: str) -> int | None:
    try:
        return ids.decode(signing.loads(invitation, salt=INVITATION_SALT, max_age=INVITATION_DAYS * 86_400))
    except (signing.BadSignature, ValueError):
        return None


def membership_of(member: Member | None, circle: Circle) -> CircleMembership | None:
    """The member's place in the circle, asked or in; `has_stepped_out` of its room, and may come back. One query."""
    if member is None:
        return None
    return next(iter(_place(circle=circle.pk, member=member.pk)), None)


@prepared(circle=ID, member=ID)
def _place(*, circle: Any, member: Any) -> QuerySet[CircleMembership]:
    out = Participant.objects.filter(room=OuterRef("circle__room"), member=member, out=Participant.Out.OWN)
    places = CircleMembership.objects.filter(circle=circle, member=member)
    return places.annotate(has_stepped_out=Exists(out))


@prepared(reader=ID, words=WORDS, towns=IDS, interest=TEXT)
def listed(*, reader: Any, words: Any, towns: Any, interest: Any, skip: int, most: int) -> QuerySet[Circle]:
    """Circles that the reader (a key; None: signed out) may know of, the largest first, with what a card shows.

    `words` are folded, `towns` ids, `interest` a slug; None narrows nothing. One query.
    """
    found = Circle.objects.open_to(reader).for_list().order_by("-size", "pk").holding(words)
    if interest is not None:
        found = found.filter(interest__slug=interest)
    if towns is not None:
        found = found.filter(place__among=towns)
    return found[skip : skip + most]


def circles_of(member: Member) -> list[Circle]:
    """The circles the member is in, by name; `is_host` says in which as host. One query."""
    return _mine(member=member.pk)


def _with(member: Any) -> QuerySet[Circle]:
    mine = Circle.objects.filter(memberships__member=member, memberships__state=IN, closed_at=None)
    return mine.annotate(is_host=F("memberships__is_host")).for_list().order_by("name", "pk")


@prepared(member=ID)
def _mine(*, member: Any) -> QuerySet[Circle]:
    return _with(member)


def members_of(circle: Circle, reader: Member | None = None, limit: int = 60) -> list[CircleMembership]:
    """Who is in it, hosts first, then who came first; nobody from whom a block keeps the reader apart, but for the hosts:
    whose circle it is, everybody may know. One query.
    """
    return _members(circle=circle.pk, reader=reader and reader.pk, limit=limit)


@prepared(circle=ID, reader=ID)
def _members(*, circle: Any, reader: Any, limit: int) -> QuerySet[CircleMembership]:
    people = CircleMembership.objects.filter(circle=circle, state=IN).select_related("member")
    people = people.only("circle", "is_host", "member__display_name")  # of sixty people a face and a name
    if reader is not None:
        people = people.filter(Q(is_host=True) | ~blocks.apart_from(reader, OuterRef("member")))
    return people.order_by("-is_host", "since", "pk")[:limit]


def asking(circle: Circle) -> list[CircleMembership]:
    """Who would like to be in it, the longest waiting first. One query."""
    return list(
        CircleMembership.objects.filter(circle=circle, state=ASKED)
        .select_related("member")
        .order_by("since", "pk")
    )


@transaction.atomic
def open_circle(
    host: Member,
    *,
    name: str,
    description: str,
    language: str,
    interest: Interest | None = None,
    place: Place | None = None,
    join: str = Circle.Join.OPEN,
) -> Circle:
    """A new circle with its room; who opens it is its host and first member.

    Raises PermissionDenied unless the member may host, ValidationError for values the rows refuse.
    """
    if not members.is_host(host):
        raise PermissionDenied(_("Circles are opened by hosts. Ask your centre to become one."))
    pk = ids.new_id()
    slug = f"{slugify(name)[:60] or 'circle'}-{ids.encode(pk)[:6]}"
    circle = Circle(
        pk=pk, slug=slug, name=name.strip(), description=description.strip(), language=language, join=join
    )
    circle.interest, circle.place, circle.size = interest, place, 1
    circle.search = fold(f"{circle.name} {circle.description}")
    circle.clean_fields(exclude=["room", "search"])
    circle.room = rooms.open(Room.Kind.CIRCLE, circle.name, f"/circles/{circle.public_id}/")
    circle.save(force_insert=True)
    CircleMembership.objects.create(circle=circle, member=host, is_host=True)
    rooms.enter(circle.room, host)
    return circle


@transaction.atomic
def join(member: Member, circle_id: int, invitation: str = "") -> CircleMembership:
    """Come into a circle and its room; where the host decides, ask for it. Again: the same place, counted once.

    Raises Circle.DoesNotExist; PermissionDenied for who was taken out and not let in again.
    """
    circle = circle_for(member, circle_id, invitation=invitation, lock=True)
    invited = bool(invitation) and _invited_to(invitation) == circle.pk
    state = ASKED if circle.join == Circle.Join.REQUEST and not invited else IN
    place, created = CircleMembership.objects.get_or_create(
        circle=circle, member=member, defaults={"state": state}
    )
    if created and rooms.is_shut_out(member, circle.room_id):
        text = _("A host has taken you out of this circle. You can join again when a host lets you in.")
        raise PermissionDenied(text)
    if created and state == ASKED:
        _count(circle)
        for host in Member.objects.filter(
            circle_memberships__circle=circle, circle_memberships__is_host=True
        ):
            _tell("circle_asked", host, circle, member, f"circle:{circle.pk}:asked:{place.pk}:{host.pk}")
    elif created or (state == IN and _admit(place)):
        _grow(circle, member)
        place.state = IN
    return place


def _count(circle: Circle, more: int = 0) -> None:
    """So many more people are in it; its version tells that somebody's place has changed."""
    Circle.objects.filter(pk=circle.pk).update(size=F("size") + more, version=F("version") + 1)


def _admit(place: CircleMembership) -> bool:
    """Asked becomes in, and true for exactly one of those who try at once."""
    asked = CircleMembership.objects.filter(pk=place.pk, state=ASKED)
    return asked.update(state=IN, since=clock.now()) == 1


def _grow(circle: Circle, member: Member) -> None:
    _count(circle, +1)
    rooms.enter(circle.room, member)


@transaction.atomic
def leave(member: Member, circle_id: int) -> None:
    """Leave a circle and its room, or take the question back. Who is not in it: nothing happens.

    The only host cannot leave the others behind (ValidationError, last_host); the last of all closes the circle.
    Raises Circle.DoesNotExist.
    """
    circle = circle_for(member, circle_id, lock=True)
    place = CircleMembership.objects.filter(circle=circle, member=member).first()
    if place is None:
        return
    if place.state == IN:
        others = CircleMembership.objects.filter(circle=circle, state=IN).exclude(pk=place.pk)
        if place.is_host and others.exists() and not others.filter(is_host=True).exists():
            text = _(
                "You are the only host of this circle. Make somebody else a host first, then you can leave."
            )
            raise ValidationError(text, code="last_host")
        _count(circle, -1)
        rooms.leave(circle.room, member, "left the circle")
        if not others.exists():
            Circle.objects.filter(pk=circle.pk).update(closed_at=clock.now())
            rooms.close(circle.room)
    else:
        _count(circle)
    place.delete()


def _circle_of_host(host: Member, circle_id: int) -> Circle:
    """The circle locked, for one of its hosts. Raises Circle.DoesNotExist, PermissionDenied."""
    circle = circle_for(host, circle_id, lock=True)
    if not CircleMembership.objects.filter(circle=circle, member=host, state=IN, is_host=True).exists():
        raise PermissionDenied(_("Only a host of the circle can do that."))
    return circle


def may_moderate(member: Member, room_id: int) -> bool:
    """The member looks after a circle's room: as a host of the circle, or as staff of a centre who is in it. One query."""
    return sign_ins.is_team(member) or bool(_hosted_at(member=member.pk, room=room_id))


@prepared(member=ID, room=ID)
def _hosted_at(*, member: Any, room: Any) -> QuerySet[CircleMembership, int]:
    hosts = CircleMembership.objects.filter(circle__room=room, member=member, state=IN, is_host=True)
    return hosts.values_list("pk", flat=True)


def taken_out(member: Member, room_id: int) -> None:
    """Who is removed from a circle's room is out of the circle. In a transaction, before its room is locked."""
    circle = Circle.objects.select_for_update().get(room=room_id)
    gone = CircleMembership.objects.filter(circle=circle, member=member, is_host=False)
    states = list(gone.values_list("state", flat=True))
    gone.delete()
    _count(circle, -states.count(IN))


def rooms_hosted_by(member: Any) -> QuerySet[Circle, int]:
    """The ids of the rooms of the circles the member hosts: their key, or its place in a statement."""
    hosted = CircleMembership.objects.filter(member=member, state=IN, is_host=True).values("circle")
    return Circle.objects.filter(pk__in=hosted).values_list("room", flat=True)


@transaction.atomic
def accept(host: Member, circle_id: int, member_id: int) -> None:
    """Let in somebody who asked; they get a mail. Again, or nobody asked: nothing happens.

    Raises Circle.DoesNotExist, PermissionDenied.
    """
    circle = _circle_of_host(host, circle_id)
    place = CircleMembership.objects.select_related("member").filter(circle=circle, member=member_id).first()
    if place is not None and _admit(place):
        _grow(circle, place.member)
        _tell("circle_accepted", place.member, circle, host, f"circle:{circle.pk}:accepted:{place.pk}")


@transaction.atomic
def refuse(host: Member, circle_id: int, member_id: int) -> None:
    """Do not let in somebody who asked; no mail is sent. Again: nothing happens. Raises Circle.DoesNotExist, PermissionDenied."""
    circle = _circle_of_host(host, circle_id)
    if CircleMembership.objects.filter(circle=circle, member=member_id, state=ASKED).delete()[0]:
        _count(circle)


@transaction.atomic
def make_host(host: Member, circle_id: int, member_id: int) -> None:
    """Somebody who is in the circle becomes a host of it, too. Idempotent. Raises Circle.DoesNotExist, PermissionDenied."""
    circle = _circle_of_host(host, circle_id)
    others = CircleMembership.objects.filter(circle=circle, member=member_id, state=IN, is_host=False)
    if others.update(is_host=True):
        _count(circle)


def hosted_alone(member: Member) -> list[Circle]:
    """The circles whose only host the member is. One query."""
    hosts = CircleMembership.objects.filter(circle=OuterRef("pk"), is_host=True)
    mine = _with(member).filter(Exists(hosts.filter(member=member)))
    return list(mine.exclude(Exists(hosts.exclude(member=member))))


def forget(member: Member) -> None:
    """A member goes for good: out of all circles. Where they were the only host, who has been in longest takes over."""
    for circle_id in list(CircleMembership.objects.filter(member=member).values_list("circle", flat=True)):
        with transaction.atomic():
            circle = Circle.objects.select_for_update().get(pk=circle_id)
            others = CircleMembership.objects.filter(circle=circle, state=IN).exclude(member=member)
            heir = others.order_by("since", "pk").select_related("member").first()
            if heir is not None and not others.filter(is_host=True).exists():
                CircleMembership.objects.filter(pk=heir.pk).update(is_host=True)
                _tell(
                    "circle_inherited", heir.member, circle, heir.member, f"circle:{circle_id}:heir:{heir.pk}"
                )
            mine = CircleMembership.objects.filter(circle=circle, member=member)
            if circle.closed_at is None and mine.filter(state=IN).exists():
                leave(member, circle_id)
            mine.delete()


def _tell(kind: str, to: Member, circle: Circle, about: Member, claim: str) -> None:
    url = f"{settings.PUBLIC_URL}/circles/{circle.public_id}/"
    context = {
        "name": about.display_name,
        "circle": circle.text("name", to.language),
        "url": url,
    }
    notify.mail(kind, to=to.email, language=to.language, claim=claim, context=context, member=to)
