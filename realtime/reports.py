"""Reports: a member says that a message or a person should be looked at; who looks after the room, or a desk, decides.

A copy of what was said is kept until ninety days after the decision, whatever becomes of the room. Who is reported
learns what is done and never who reported; who reported learns that it was dealt with and not how.
"""

from datetime import timedelta
from typing import Any
from uuid import uuid4

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Count, OuterRef, QuerySet, Subquery, Value
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from realtime import chat, clock, moderation, notify, people, rooms
from realtime.models import Complaint, Entry, Mention, Report, ReportedLine, Room
from realtime.prepared import ID, prepared

KEPT_FOR = timedelta(days=90)
A_DAY = 20  # reports of one member: more is no help to anybody
BEFORE, AFTER = 3, 2  # messages kept beside the one reported
LATEST = 5  # messages kept of a person reported
MAX_TEXT, MAX_NOTE = 1000, 500
Decision = Report.Decision
REASONS: dict[str, str | Promise] = {
    Complaint.Reason.RUDE: gettext_lazy("It is insulting or hateful"),
    Complaint.Reason.HARASSING: gettext_lazy("It troubles somebody again and again"),
    Complaint.Reason.ADVERTISING: gettext_lazy("It is advertising or a swindle"),
    Complaint.Reason.PRIVATE: gettext_lazy("It shows what is private"),
    Complaint.Reason.DANGER: gettext_lazy("Somebody may be in danger"),
    Complaint.Reason.OTHER: gettext_lazy("Something else"),
}


# ------------------------------------------------------------------------------------------------- reporting


def message_to_report(member: Any, room_id: int, seq: int) -> Entry:
    """A message of somebody else that the member may read, with its author. Raises Room.DoesNotExist,
    Entry.DoesNotExist. At most three queries.
    """
    room = rooms.room_for(member, room_id)
    messages = Entry.objects.filter(room=room, kind=Entry.Kind.MESSAGE, removed_at=None, author__isnull=False)
    return messages.exclude(author=member.pk).select_related("author", "room").get(seq=seq)


@transaction.atomic
def report_message(member: Any, room_id: int, seq: int, reason: str, text: str = "") -> Complaint:
    """Report a message. While it is not decided, another report of it joins; the member's own is changed.

    Raises Room.DoesNotExist, Entry.DoesNotExist (none there, or one's own), ValidationError.
    """
    message = message_to_report(member, room_id, seq)
    assert message.author is not None, "message_to_report leaves out those without"
    room = rooms.lock(room_id)  # two who report it at the same moment come one after the other
    report, is_new = Report.objects.get_or_create(
        room=room, seq=seq, decided_at=None, defaults={"about": message.author}
    )
    if is_new:
        messages = Entry.objects.filter(room=room, kind=Entry.Kind.MESSAGE, removed_at=None)
        before = list(messages.filter(seq__lt=seq).order_by("-seq")[:BEFORE])
        after = list(messages.filter(seq__gt=seq).order_by("seq")[:AFTER])
        _copy(report, [*reversed(before), message, *after])
    return _complain(report, member, reason, text)


@transaction.atomic
def report_person(member: Any, room_id: int, other_id: int, reason: str, text: str = "") -> Complaint:
    """Report somebody of a room, also one whom the member has blocked, with the newest they wrote in it. Otherwise as
    `report_message`.

    Raises Room.DoesNotExist, DoesNotExist of a member, ValidationError.
    """
    person = people.person_to_report(rooms.room_for(member, room_id), member, other_id)
    room = rooms.lock(room_id)
    report, is_new = Report.objects.get_or_create(room=room, seq=None, about=person, decided_at=None)
    if is_new:
        said = Entry.objects.filter(room=room, kind=Entry.Kind.MESSAGE, removed_at=None, author=person)
        _copy(report, list(said.order_by("-seq")[:LATEST])[::-1])
    return _complain(report, member, reason, text)


def _copy(report: Report, messages: list[Entry]) -> None:
    ReportedLine.objects.bulk_create(
        ReportedLine(
            report=report, seq=m.seq, author_id=m.author_id, at=m.at, text=m.text, language=m.language
        )
        for m in messages
    )


def _complain(report: Report, member: Any, reason: str, text: str) -> Complaint:
    if reason not in Complaint.Reason.values:
        raise ValidationError({"reason": _("Choose what is wrong with it.")}, code="required")
    words = text.strip()
    if len(words) > MAX_TEXT:
        said = _("This can have %(limit)s characters at most.") % {"limit": MAX_TEXT}
        raise ValidationError({"text": said}, code="too_long")
    if reason == Complaint.Reason.OTHER and not words:
        raise ValidationError({"text": _("Say in a few words what is wrong.")}, code="required")
    lately = Complaint.objects.filter(member=member.pk, at__gt=clock.now() - timedelta(days=1))
    if lately.exclude(report=report).count() >= A_DAY:
        said = _("That is a lot of reports for one day. Write to your centre, so that somebody can help.")
        raise ValidationError(said, code="too_fast")
    complaint, _is_new = Complaint.objects.update_or_create(
        report=report, member=member, defaults={"reason": reason, "text": words}
    )
    return complaint


def of_reporter(member: Any) -> QuerySet[Complaint]:
    """What the member reported, also in rooms they are no longer in, the newest first, with `report` and its lines."""
    mine = Complaint.objects.filter(member=member.pk).select_related("report__room", "report__about")
    return mine.prefetch_related("report__lines").order_by("-at", "-pk")


# ------------------------------------------------------------------------------------------------- deciding


def for_list(reports: QuerySet[Report]) -> QuerySet[Report]:
    """With what a line of a list shows: the room, who it is about, how many complain."""
    return reports.select_related("room", "about").annotate(n=Count("complaints")).order_by("opened_at", "pk")


def to_look_at(member: Any) -> QuerySet[Report]:
    """Reports in rooms the member looks after, open ones and those decided; never about themselves."""
    return _looked_at_by(member.pk)


def _looked_at_by(member: Any) -> QuerySet[Report]:
    return Report.objects.filter(rooms.looked_after(member)).exclude(about=member)


def open_for(member: Any) -> int:
    """How many reports wait for the member. One query."""
    return sum(n for _all, n in _waiting(member=member.pk))


@prepared(member=ID)
def _waiting(*, member: Any) -> QuerySet[Report, tuple[int, int]]:
    waiting = _looked_at_by(member).filter(decided_at=None).order_by()
    return waiting.values_list(Value(1)).annotate(n=Count("pk"))


def report_for(member: Any, report_id: int) -> Report:
    """A report in a room the member looks after. Raises Report.DoesNotExist: not there and not yours look alike."""
    return to_look_at(member).select_related("room", "about", "decided_by").get(pk=report_id)


def lines_of(report: Report) -> list[ReportedLine]:
    """What was said, in its order, with authors. One query."""
    return list(report.lines.select_related("author").order_by("seq"))


def decisions_for(report: Report) -> list[str]:
    """What can be decided: only a message is hidden, and only from a circle or an event is somebody removed."""
    found = [Decision.HIDDEN.value] if report.seq is not None else []
    if report.room.kind in {Room.Kind.CIRCLE, Room.Kind.EVENT}:
        found.append(Decision.REMOVED.value)
    return [*found, Decision.NOTHING.value]


@transaction.atomic
def decide(decider: Any, report: Report, decision: str, note: str) -> None:
    """Deal with a report the caller may decide: hide the message or remove its author, both told why by `note`, or leave
    it. Each who reported gets a mail that it was dealt with.

    Raises ValidationError: decided meanwhile (closed), no such decision, no note; PermissionDenied (`moderation`).
    """
    if decision not in decisions_for(report):
        raise ValidationError({"decision": _("Choose what to do.")}, code="required")
    why = " ".join(note.split())
    most = MAX_NOTE if decision == Decision.NOTHING else rooms.MAX_REASON
    if not why:
        raise ValidationError({"note": _("Say why in a few words.")}, code="required")
    if len(why) > most:
        raise ValidationError(
            {"note": _("This can have %(limit)s characters at most.") % {"limit": most}}, code="too_long"
        )
    decided = {"decided_at": clock.now(), "decided_by": decider, "decision": decision, "note": why}
    if not Report.objects.filter(pk=report.pk, decided_at=None).update(**decided):
        raise ValidationError(_("Somebody else has dealt with this report."), code="closed")
    if decision == Decision.HIDDEN and report.seq is not None:
        chat.take_down(decider, report.room_id, report.seq, why, uuid4())
    if decision == Decision.REMOVED:
        moderation.take_out(report.room, report.about_id, why)
    for complaint in report.complaints.exclude(member=decider.pk).select_related("member"):
        _tell(complaint.member, report)


def _tell(member: Any, report: Report) -> None:
    if member.is_active:
        notify.put(
            "report_decided",
            to=member.email,
            language=member.language,
            claim=f"report_decided:{report.public_id}:{member.public_id}",
            context={"name": member.display_name},
            member=member,
        )


# ------------------------------------------------------------------------------------------------- forgetting


def forget_old() -> int:
    """The sweep: ninety days after its decision a report goes, with every copy. Returns how many. A few queries."""
    old = Report.objects.filter(decided_at__lt=clock.now() - KEPT_FOR)
    n = old.count()
    old.delete()
    return n


def forget(member_id: int) -> None:
    """A member goes for good: copies of their words are blanked, their name in those of others and their notes, too; what
    they reported and what is about them goes. Before the room itself forgets where they were named.
    """
    _take_name_out(member_id)
    ReportedLine.objects.filter(author=member_id).update(text="", author=None)
    Report.objects.filter(decided_by=member_id).update(note="")
    Complaint.objects.filter(member=member_id).delete()
    Report.objects.filter(about=member_id).delete()
    Report.objects.filter(decided_at=None, complaints=None).delete()


def _take_name_out(member_id: int) -> None:
    """Where copied lines name them, an @ without the name is left, as in the room itself."""
    named = Mention.objects.filter(member=member_id, room=OuterRef("report__room"), seq=OuterRef("seq"))
    for line in ReportedLine.objects.annotate(name=Subquery(named.values("name")[:1])).exclude(name=None):
        text = line.text.replace(f"@{line.name}", chat.NOBODY)
        ReportedLine.objects.filter(pk=line.pk).update(text=text)
