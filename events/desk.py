"""The desk of a centre: what needs somebody today, its people and events, and what staff set right.

Staff see their home members and those who register at their events, and nobody else: `people_of` says who that is,
`person_for` stands between an id and a person, and every look at a person is on record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Sum
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _

from community import audit, roles, sign_ins
from community.models import Centre, Member, Role
from community.spreadsheets import rows_to_csv
from events.models import Attendee, DoorHelper, Event, PartnerDate, Pool, Registration
from events.models.event import EventQuerySet
from events.telling import tell
from realtime import clock, notify
from realtime.models import Complaint, Mail, Report

SOON = timedelta(days=3)
LARGE = 15  # places from which a host cannot watch the door alone
QUIET = 3  # fewer than so many come
LATELY = 20  # registrations of a person that their page shows
State = Registration.State


@dataclass(frozen=True)
class Need:
    """Something that wants a decision today: what, why it matters, and where it is done. The most urgent first."""

    urgency: int
    title: str
    text: str | Promise
    url: str


def desk_for(member: Member, slug: str) -> Role:
    """The member's role at the centre of that slug. One query. Raises Role.DoesNotExist: not there and not yours look alike."""
    return Role.objects.select_related("centre__place").get(member=member, centre__slug=slug)


def events_of(centre: Centre) -> EventQuerySet:
    """Events the centre owns or shares, drafts too."""
    shared = Event.partner_centres.through.objects.filter(centre=centre).values("event")
    return Event.objects.filter(Q(centre=centre) | Q(pk__in=shared))


def people_of(centre: Centre) -> QuerySet[Member]:
    """The centre's home members, and those who are or were in a party at one of its events."""
    here = events_of(centre).values("pk")
    registered = Registration.objects.filter(event__in=here, member__isnull=False).values("member")
    named = Attendee.objects.filter(event__in=here, member__isnull=False).values("member")
    known = Q(profile__centre=centre) | Q(pk__in=registered) | Q(pk__in=named)
    return Member.objects.filter(known, is_active=True)


def found_in(people: QuerySet[Member], words: str) -> QuerySet[Member]:
    """Those whose name or address holds every word, by name."""
    for word in words.split()[:6]:
        people = people.filter(Q(display_name__icontains=word) | Q(email__icontains=word))
    return people.order_by("display_name", "pk")


def person_for(staff: Member, centre: Centre, member_id: int) -> Member:
    """One of the centre's people with profile and home centre, and the look at them on record. At most four queries.

    Raises Member.DoesNotExist: not there and not the centre's look alike.
    """
    person = people_of(centre).select_related("profile__centre").get(pk=member_id)
    audit.looked(staff, person, "person", centre)
    return person


def registrations_of(centre: Centre, person: Member) -> QuerySet[Registration]:
    """The person's registrations at the centre's events, also those others made for them, the newest event first."""
    mine = Q(member=person) | Q(attendees__member=person, attendees__is_live=True)
    found = Registration.objects.filter(mine, event__in=events_of(centre).values("pk")).distinct()
    return found.select_related("event", "member").order_by("-event__starts_at", "-pk")


def mails_to(centre: Centre, person: Member) -> QuerySet[Mail]:
    """What was sent to the person about the centre's own events, without its words: what, when, whether it arrived.

    Never a mail about the account: even its subject can hold a code that lets somebody in. One query more.
    """
    theirs = Q(pk__in=[])
    for row in registrations_of(centre, person)[:LATELY]:
        theirs |= Q(claim__contains=f":{row.public_id}:")
    about = Mail.objects.filter(theirs, member=person, kind__startswith="event_")
    return about.defer("text", "html", "attachment").order_by("-pk")


def failed_mails(centre: Centre) -> QuerySet[Mail]:
    """Mails to the centre's home members that the mail server refused for good, the newest first.

    Without those about the account: their subject may be a code, and a code is asked for anew, not sent again.
    """
    home = Member.objects.filter(profile__centre=centre, is_active=True).values("pk")
    stuck = Mail.objects.filter(state=Mail.State.FAILED, member__in=home).exclude(
        claim__startswith="account:"
    )
    return stuck.select_related("member").defer("text", "html", "attachment").order_by("-pk")


# Reports


def reports_of(centre: Centre) -> QuerySet[Report]:
    """Reports that are the centre's to decide: in rooms of its events, about its home members or by them. Where neither
    has a home centre, every centre's: nobody's would lie there unseen.
    """
    home = Complaint.objects.filter(member__profile__centre=centre).values("report")
    placed = Complaint.objects.filter(member__profile__centre__isnull=False).values("report")
    ours = Q(room__in=events_of(centre).exclude(room=None).values("room")) | Q(pk__in=home)
    ours |= Q(about__profile__centre=centre)
    return Report.objects.filter(ours | Q(about__profile__centre=None) & ~Q(pk__in=placed))


def report_for(role: Role, report_id: int) -> Report:
    """A report of the centre, and the look at it on record (not for whom it is about). Two queries.

    Raises Report.DoesNotExist: not there, not the centre's and about oneself look alike.
    """
    found = reports_of(role.centre).exclude(about=role.member).select_related("room", "about", "decided_by")
    report = found.get(pk=report_id)
    audit.record(
        audit.Action.LOOKED, actor=role.member, centre=role.centre, target=f"report {report.public_id}"
    )
    return report


# What needs somebody today


def needs(role: Role) -> list[Need]:
    """What wants a decision at the centre, the most urgent first. Nine queries, whatever the size."""
    centre = role.centre
    found = [
        *_of_reports(role),
        *_of_mails(centre),
        *_of_locks(role),
        *of_events(events_of(centre)),
        *_of_partners(centre),
        *_of_drafts(centre),
    ]
    return sorted(found, key=lambda need: -need.urgency)


def _of_reports(role: Role) -> list[Need]:
    n = reports_of(role.centre).filter(decided_at=None).exclude(about=role.member).count()
    if not n:
        return []
    title = ngettext("%(n)d report of a message or a person", "%(n)d reports of messages or people", n) % {
        "n": n
    }
    text = _("Somebody is troubled by what was said. Look at it and decide; hosts see it, too.")
    return [Need(100, title, text, reverse("desk_reports", args=[role.centre.slug]))]


def _of_mails(centre: Centre) -> list[Need]:
    n = failed_mails(centre).count()
    if not n:
        return []
    title = ngettext("%(n)d mail did not arrive", "%(n)d mails did not arrive", n) % {"n": n}
    text = _("Mostly a mistyped address. Correct it, then send the mail again.")
    return [Need(90, title, text, reverse("desk_mails", args=[centre.slug]))]


def _of_locks(role: Role) -> list[Need]:
    """For managers: who has a role and has not come back through a second lock yet. The demo's people need none."""
    if role.kind != Role.Kind.MANAGER or settings.DEMO:
        return []
    team = Member.objects.filter(roles__centre=role.centre)
    names = ", ".join(str(member) for member in sign_ins.without_lock(team).order_by("display_name")[:5])
    if not names:
        return []
    text = _("They have a role and no passkey or authenticator app yet, so it opens nothing for them.")
    return [Need(20, names, text, reverse("desk_roles", args=[role.centre.slug]))]


def of_events(events: EventQuerySet) -> list[Need]:
    """Of the next three days and of waiting lists: the door nobody watches, the room that stays empty, the line. One query."""
    coming = events.filter(state=Event.State.PUBLISHED).upcoming()
    total = Pool.objects.filter(event=OuterRef("pk"), kind=Pool.Kind.TOTAL).values("taken")[:1]
    waiting = (
        Registration.objects.filter(event=OuterRef("pk"), state=State.WAITING)
        .order_by()
        .values("event")
        .annotate(n=Sum("party_size"))
        .values("n")
    )
    rows = coming.annotate(
        seated=total, waiting=waiting, is_helped=Exists(DoorHelper.objects.filter(event=OuterRef("pk")))
    )
    soon = clock.now() + SOON
    found: list[Need] = []
    for event in rows.filter(Q(starts_at__lt=soon) | Q(waiting__gt=0))[:100]:
        found += _of_event(event, is_soon=event.starts_at is not None and event.starts_at < soon)
    return found


def _of_event(event: Event, *, is_soon: bool) -> list[Need]:
    seated, waiting = event.seated or 0, event.waiting or 0  # type: ignore[attr-defined]
    title, found = event.text("title"), list[Need]()
    if is_soon and seated > LARGE and not event.is_helped:  # type: ignore[attr-defined]
        n = ngettext("%(n)d person comes", "%(n)d people come", seated) % {"n": seated}
        text = _("%(people)s, and nobody is named for the door.") % {"people": n}
        found.append(Need(80, title, text, f"{reverse('guests', args=[event.pk])}#helpers"))
    if waiting:
        text = ngettext("%(n)d person waits for a place.", "%(n)d people wait for a place.", waiting)
        url = f"{reverse('guests', args=[event.pk])}#ask"
        found.append(Need(60 if is_soon else 40, title, text % {"n": waiting}, url))
    is_new = event.created_at > clock.now() - timedelta(days=1)
    is_half_full = event.capacity is not None and 2 * seated >= event.capacity
    if is_soon and seated < QUIET and not is_new and not is_half_full:
        text = ngettext(
            "Only %(n)d person comes. Tell more people, or call it off in time.",
            "Only %(n)d people come. Tell more people, or call it off in time.",
            seated,
        )
        found.append(Need(50, title, text % {"n": seated}, event.get_absolute_url()))
    return found


def _of_partners(centre: Centre) -> list[Need]:
    """Published events that say something else than the partner's calendar they came from."""
    n = PartnerDate.objects.filter(calendar__centre=centre, is_open=True).count()
    if not n:
        return []
    title = ngettext("%(n)d date of a partner has changed", "%(n)d dates of partners have changed", n) % {
        "n": n
    }
    text = _("You have published it, so nothing changes by itself. Take it over or leave it.")
    return [Need(70, title, text, reverse("desk_calendars", args=[centre.slug]))]


def _of_drafts(centre: Centre) -> list[Need]:
    drafts = events_of(centre).filter(state=Event.State.DRAFT)
    n = drafts.count()
    if not n:
        return []
    title = ngettext("%(n)d draft", "%(n)d drafts", n) % {"n": n}
    text = _("Nobody sees a draft. Give it a date and publish it, or throw it away.")
    return [Need(10, title, text, f"{reverse('desk_events', args=[centre.slug])}?show=drafts")]


@dataclass(frozen=True)
class Pulse:
    """How the centre is doing, in four numbers."""

    members: int
    new: int
    events: int
    coming: int


def pulse(centre: Centre) -> Pulse:
    """Home members, those of them who joined in the last 30 days, events to come and places taken at them. Two queries."""
    month = clock.now() - timedelta(days=30)
    home = Member.objects.filter(profile__centre=centre, is_active=True)
    people = home.aggregate(all=Count("pk"), new=Count("pk", filter=Q(date_joined__gte=month)))
    coming = events_of(centre).filter(state=Event.State.PUBLISHED).upcoming()
    pools = Pool.objects.filter(event__in=coming.order_by().values("pk"), kind=Pool.Kind.TOTAL)
    numbers = pools.aggregate(events=Count("pk"), coming=Sum("taken"))
    return Pulse(people["all"], people["new"], numbers["events"], numbers["coming"] or 0)


# What staff set right


def people_table(role: Role, words: str) -> Iterator[bytes]:
    """The people `found_in` finds, as CSV, in the language of the page; on record. For managers: PermissionDenied.

    Two queries, at most 1,000 rows in memory.
    """
    if role.kind != Role.Kind.MANAGER:
        raise PermissionDenied(_("Only a manager of the centre can do this."))
    audit.record(audit.Action.EXPORTED, actor=role.member, centre=role.centre, target="people")
    header = (_("Name"), _("E-mail address"), _("Language"), _("Here since"), _("Host"), _("Home centre"))
    found = found_in(people_of(role.centre), words).select_related("profile__centre")
    yes = _("yes")  # the rows are written when the page's language is over
    rows = (
        (
            one.display_name,
            one.email,
            one.language,
            f"{one.date_joined:%Y-%m-%d}",
            yes if one.is_host else "",
            one.profile.centre.name if one.profile.centre else "",
        )
        for one in found.iterator(1000)
    )
    return rows_to_csv(header, rows)


def events_table(role: Role, events: EventQuerySet) -> Iterator[bytes]:
    """Some of the centre's events as CSV, in the language of the page and on each event's own clock; on record.

    A few queries, at most 500 rows in memory.
    """
    audit.record(audit.Action.EXPORTED, actor=role.member, centre=role.centre, target="events")
    header = (_("Title"), _("Begins"), _("Town"), _("Host"), _("State"), _("Places taken"), _("Places"))
    language, states = get_language(), {"draft": _("Draft"), "cancelled": _("Called off")}
    rows = (
        (
            event.text("title", language),
            f"{event.local_start:%Y-%m-%d %H:%M}" if event.local_start else "",
            event.place.name if event.place else event.town,
            event.host.display_name,
            states.get(event.state, ""),
            event.total.taken if event.total else 0,
            event.total.capacity if event.total else None,
        )
        for event in events.for_list().iterator(500)
    )
    return rows_to_csv(header, rows)


def correct_address(manager: Member, centre: Centre, member_id: int, email: str) -> Member:
    """Give a member the address they sign in with from now on; the old one is told, all their sessions end.

    Raises Member.DoesNotExist, PermissionDenied (who is no manager here; whose account opens other people's things:
    they change it themselves; whose home centre is another), ValidationError on `email`.
    """
    roles.managed_by(manager, centre.pk)
    person = person_for(manager, centre, member_id)
    if person.profile.centre_id != centre.pk:
        raise PermissionDenied(_("Only their own centre can do this for a member."))
    if sign_ins.is_team(person):
        raise PermissionDenied(_("Who has a role changes their address themselves."))
    return sign_ins.correct_address(manager, person, email, centre)


@transaction.atomic
def resend_ticket(staff: Member, centre: Centre, registration_id: int) -> Registration:
    """Send the mail with the ticket once more, to who registered and to those named. Within a minute it is one mail.

    Raises Registration.DoesNotExist, ValidationError when there is no ticket (closed).
    """
    found = Registration.objects.select_related("event__place", "event__centre", "event__host", "member")
    row = found.get(pk=registration_id, event__in=events_of(centre).values("pk"))
    if not row.is_coming:
        raise ValidationError(_("This registration has no ticket: it holds no places."), code="closed")
    tell(row, "event_registered", again=f"{clock.now():%Y%m%d%H%M}")
    audit.record(
        audit.Action.RESENT, actor=staff, subject=row.member, centre=centre, target=f"ticket {row.public_id}"
    )
    return row


def send_again(staff: Member, centre: Centre, mail_id: int) -> Mail:
    """A failed mail goes into the outbox again, to the address the member has now. Raises Mail.DoesNotExist."""
    return _settle(staff, centre, mail_id, lambda mail, to: notify.send_again(mail.pk, to=to))


def let_go(staff: Member, centre: Centre, mail_id: int) -> Mail:
    """A failed mail is no longer wanted. Raises Mail.DoesNotExist."""
    return _settle(staff, centre, mail_id, lambda mail, _to: notify.let_go(mail.pk))


@transaction.atomic
def _settle(staff: Member, centre: Centre, mail_id: int, verb: Callable[[Mail, str], object]) -> Mail:
    mail = failed_mails(centre).get(pk=mail_id)
    verb(mail, mail.member.email if mail.member else mail.to)
    audit.record(
        audit.Action.RESENT, actor=staff, subject=mail.member, centre=centre, target=f"mail {mail.kind}"
    )
    return mail
