"""Event: a gathering at one time and place, and the pools its places come from."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from allauth.account.models import EmailAddress
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Prefetch, Q
from django.db.models.functions import Cast, Lower
from django.utils.translation import gettext as _

from community.models import CircleMembership, Profile, Role
from community.models.places import fold
from events.models.details import Details
from events.models.series import Series
from realtime import clock
from realtime.models import Room

ASKED_FROM = timedelta(hours=48)  # before the start: from then on one is asked whether one still comes
ASKED_LAST = timedelta(hours=6)  # and once more


def pools_of_events() -> Prefetch[Any, Any, Any]:
    """What `Event.total` is read from, for any number of events in one query."""
    return Prefetch("pools", Pool.objects.order_by("pk"), to_attr="all_pools")


def addresses_of(member: Any) -> models.QuerySet[EmailAddress, str]:
    """The addresses that are known to be the member's, in lower case. For a query."""
    rows = EmailAddress.objects.filter(user=member, verified=True)
    return rows.annotate(low=Lower("email")).values_list("low", flat=True)


def not_over(now: Any, to: str = "") -> Q:
    """Events that are not over yet at `now`; `to` leads to them from other rows (`event__`). For a query."""
    begun_lately = Q(**{f"{to}starts_at__gte": now - timedelta(days=1)})
    open_end = Q(**{f"{to}ends_at": None, f"{to}starts_at__gte": now - timedelta(hours=6)})
    return begun_lately & (Q(**{f"{to}ends_at__gte": now}) | open_end)


def hosted_by(member: Any) -> Q:
    """Events the member hosts, alone or with others: this date, or its whole series. For a query of events."""
    here = Event.objects.filter(cohosts__member=member).values("pk")
    every_date = Series.objects.filter(cohosts__member=member).values("pk")
    return Q(host=member) | Q(pk__in=here) | Q(series__in=every_date)


def run_by(member: Any) -> Q:
    """Events the member may change: who hosts them, and staff of their centre or a partner centre. For a query of events."""
    return hosted_by(member) | at_desk_of(member, Event.partner_centres.through.objects.values("event"))


def at_desk_of(member: Any, partners: Any) -> Q:
    """What belongs to a centre where the member is staff, or is shared with it (`partners`: ids by `centre`)."""
    desks = Role.objects.filter(member=member).values("centre")
    return Q(centre__in=desks) | Q(pk__in=partners.filter(centre__in=desks))


def _invited(**whom: Any) -> Any:
    """The ids of the events to which they were invited: an invitation counts from its mail until it is withdrawn."""
    stands = {"invitations__mailed_at__isnull": False, "invitations__withdrawn_at": None}
    return Event.objects.filter(**stands, **whom).values("pk")


class EventQuerySet(models.QuerySet["Event"]):
    def visible_to(self, member: Any) -> EventQuerySet:
        """Events the reader may see: published and open to them, or their own. No query of its own.

        `member` is None for who is not signed in; in a prepared statement it is the place of a member's key.
        """
        shown = ~Q(state=Event.State.DRAFT)
        if member is None:
            return self.filter(shown, visibility=Event.Visibility.PUBLIC)
        circles = CircleMembership.objects.filter(member=member, state="in").values("circle")
        homes = Profile.objects.filter(member=member).values("centre")
        partners = Event.partner_centres.through.objects
        # Subqueries, not joins: one row an event, so that lists need no DISTINCT and rows can be locked. Each
        # begins at the member's own few rows: asked for in one, both kinds of coming would read everybody's.
        registered = Event.objects.filter(registrations__member=member)
        named = Event.objects.filter(registrations__attendees__member=member)
        open_to_me = (
            Q(visibility__in=[Event.Visibility.PUBLIC, Event.Visibility.MEMBERS])
            | Q(visibility=Event.Visibility.CIRCLE, circle__in=circles)
            | Q(visibility=Event.Visibility.CENTRE, centre__in=homes)
            | Q(visibility=Event.Visibility.CENTRE, pk__in=partners.filter(centre__in=homes).values("event"))
            | Q(pk__in=registered.values("pk"))
            | Q(pk__in=named.values("pk"))
            | Q(pk__in=_invited(invitations__member=member))
            | Q(pk__in=_invited(invitations__email__in=addresses_of(member)))
            | Q(pk__in=Event.objects.filter(helpers__member=member).values("pk"))
        )
        return self.filter(run_by(member) | shown & open_to_me)

    def upcoming(self, now: Any = None) -> EventQuerySet:
        """Not over yet (at `now`, a moment or the place of one in a prepared statement), the next first."""
        return self.filter(not_over(now or clock.now())).order_by("starts_at", "pk")

    def between(self, start: datetime, end: datetime) -> EventQuerySet:
        """Beginning in [start, end)."""
        return self.filter(starts_at__gte=start, starts_at__lt=end)

    def holding(self, words: Iterable[Any]) -> EventQuerySet:
        """Events with all of these words, folded already, in what `searchable` gives."""
        found = self
        for word in words:
            found = found.filter(search__holds=word)
        return found

    def speaking(self, quoted: Any) -> EventQuerySet:
        """Where a language is spoken: its BCP 47 code as JSON writes it, `"de"`. JSON is searched as text: SQLite knows no `contains`."""
        return self.alias(spoken=Cast("languages", models.TextField())).filter(spoken__contains=quoted)

    def for_list(self) -> EventQuerySet:
        """With what a card shows: two queries for any number of rows."""
        return self.select_related("place", "centre", "host").prefetch_related(pools_of_events())


class Event(Details):
    """A gathering. Nothing else is ever called event."""

    class State(models.TextChoices):
        DRAFT = "draft"
        PUBLISHED = "published"
        CANCELLED = "cancelled"

    series = models.ForeignKey(Series, models.PROTECT, null=True, blank=True, related_name="occurrences")
    original_start = models.CharField(
        max_length=19, blank=True, help_text="Local RECURRENCE-ID, 2027-06-01T19:00:00"
    )
    uid_series = models.BigIntegerField(
        null=True,
        blank=True,
        help_text="The series that made it, whose id is the UID of its entry in calendars. Empty: its own id is.",
    )
    recurrence_id = models.CharField(
        max_length=70,
        blank=True,
        default="",
        db_default="",
        help_text="RFC 5545 §3.8.4.4, after the name: TZID=Europe/Brussels:20270601T190000. Never changes.",
    )
    is_changed = models.BooleanField(
        default=False, help_text="Changed by itself: no longer follows its series."
    )
    starts_at = models.DateTimeField(null=True, blank=True)
    ends_at = models.DateTimeField(null=True, blank=True)
    previous_start = models.DateTimeField(
        null=True, blank=True, help_text="When it began before it was moved; empty: it never was."
    )
    state = models.CharField(max_length=10, choices=State, default=State.PUBLISHED)
    cancel_reason = models.CharField(max_length=500, blank=True)
    fell_away = models.BooleanField(
        default=False,
        db_default=False,
        help_text="Called off because the rule of its series no longer had it: it comes back with the rule.",
    )
    sequence = models.PositiveIntegerField(default=0, help_text="RFC 5545 §3.8.7.4")
    note = models.CharField(max_length=200, blank=True, help_text="What was unclear in an imported event.")
    search = models.TextField(
        blank=True, editable=False, help_text="Title, description, venue and town, folded."
    )
    room = models.OneToOneField(Room, models.SET_NULL, null=True, blank=True, related_name="+")

    all_pools: list[Pool]  # read for a list of events, or under the lock of a verb

    objects = EventQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["series", "original_start"], name="one_event_an_occurrence"),
            models.CheckConstraint(
                name="event_ends_after_its_start", condition=Q(ends_at=None) | Q(ends_at__gt=F("starts_at"))
            ),
            models.CheckConstraint(
                name="only_drafts_have_no_start", condition=Q(state="draft") | Q(starts_at__isnull=False)
            ),
        ]
        indexes = [
            models.Index(fields=["state", "starts_at", "id"], name="events_by_start"),
            models.Index(
                fields=["starts_at", "id"], name="events_in_time"
            ),  # for programs: called off ones too
            models.Index(fields=["place", "starts_at"], name="events_of_a_town"),
            models.Index(fields=["host", "starts_at"], name="events_of_a_host"),
            models.Index(
                fields=["uid_series"], condition=Q(uid_series__isnull=False), name="events_of_a_uid"
            ),
        ]

    def get_absolute_url(self) -> str:
        return f"/events/{self.public_id}/"

    def is_open_to(self, member: Any) -> bool:
        """Whether `visible_to` shows it whoever `member` is: nothing of theirs need be looked at. No query."""
        shown_to_all = {Event.Visibility.PUBLIC} | ({Event.Visibility.MEMBERS} if member else set())
        return self.state != Event.State.DRAFT and self.visibility in shown_to_all

    @property
    def zone(self) -> ZoneInfo:
        """The zone whose wall clock the event follows."""
        return ZoneInfo(self.timezone)

    @property
    def local_start(self) -> datetime | None:
        """The start on the wall clock of its zone, aware."""
        return self.starts_at and self.starts_at.astimezone(self.zone)

    @property
    def local_end(self) -> datetime | None:
        """The end on the wall clock of its zone, aware; None when nobody knows."""
        return self.ends_at and self.ends_at.astimezone(self.zone)

    @property
    def last_day(self) -> datetime | None:
        """The last moment that belongs to it, on its own clock: an event until midnight ends on the day before."""
        return self.local_end and self.local_end - timedelta(microseconds=1)

    @property
    def is_one_day(self) -> bool:
        """It begins and ends on one day, or in the small hours of the night after it."""
        start, end = self.local_start, self.local_end
        if start is None or end is None:
            return True
        return (end - timedelta(microseconds=1)).date() == start.date() or end - start < timedelta(hours=12)

    @property
    def over_at(self) -> datetime | None:
        """When it counts as over: its end, or three hours after the start when the end is not known."""
        if self.starts_at is None:
            return None
        return self.ends_at or self.starts_at + timedelta(hours=3)

    @property
    def is_over(self) -> bool:
        """It is over by now."""
        return self.over_at is not None and self.over_at <= clock.now()

    @property
    def is_on_now(self) -> bool:
        """It has begun and is not over."""
        return self.starts_at is not None and self.starts_at <= clock.now() and not self.is_over

    @property
    def doors_at(self) -> datetime | None:
        """From when the door admits (UTC)."""
        return self.starts_at and self.starts_at - timedelta(minutes=self.doors_minutes)

    def _before(self, minutes: int | None) -> datetime | None:
        return self.starts_at - timedelta(minutes=minutes) if self.starts_at and minutes is not None else None

    @property
    def opens_at(self) -> datetime | None:
        """From when one can register (UTC); None: since it was published."""
        return self._before(self.opens_before)

    @property
    def closes_at(self) -> datetime | None:
        """Until when one can register (UTC): until it is over where the host named nothing earlier."""
        return self._before(self.closes_before) or self.over_at

    @property
    def fixed_at(self) -> datetime | None:
        """Until when who comes may change the party or cancel (UTC): until it is over where nothing earlier is said."""
        return self._before(self.fixed_before) or self.over_at

    @property
    def is_not_open_yet(self) -> bool:
        """Registration has not opened."""
        return self.opens_at is not None and clock.now() < self.opens_at

    @property
    def is_closed(self) -> bool:
        """Nobody can register any more."""
        return self.closes_at is not None and self.closes_at <= clock.now()

    def must_leave_time(self) -> None:
        """What is published can still be registered for, and changed, for a while. Raises ValidationError by field."""
        if self.closes_before is not None and self.is_closed:
            raise ValidationError({"closes_before": _("Registration would be closed already.")})
        if self.fixed_before is not None and self.is_fixed:
            raise ValidationError(
                {"fixed_before": _("That moment has passed: nobody could ever change or cancel.")}
            )

    @property
    def is_fixed(self) -> bool:
        """Who comes can no longer change the party or cancel by themselves."""
        return self.fixed_at is not None and self.fixed_at <= clock.now()

    @property
    def is_asking_again(self) -> bool:
        """Its host wants to know now whether those who come still do."""
        if not self.asks_again or self.starts_at is None or self.is_over:
            return False
        return clock.now() >= self.starts_at - ASKED_FROM

    @property
    def total(self) -> Pool | None:
        """The pool of all places. No query after `for_list`; else one."""
        pools = self.all_pools if hasattr(self, "all_pools") else self.pools.all()
        return next((pool for pool in pools if pool.kind == Pool.Kind.TOTAL), None)

    def searchable(self) -> str:
        """What `matching` looks through."""
        texts = [self.title, self.description, self.venue, self.town, self.place.name if self.place else ""]
        texts += [text for translation in self.translations.values() for text in translation.values()]
        return fold(" ".join(texts))


class Pool(models.Model):
    """Places of one kind at an event. `taken` never exceeds `capacity`: the database says no first."""

    class Kind(models.TextChoices):
        TOTAL = "total"
        TICKET = "ticket"
        AGE = "age"
        CENTRE = "centre"

    event = models.ForeignKey(Event, models.CASCADE, related_name="pools")
    kind = models.CharField(max_length=6, choices=Kind, default=Kind.TOTAL)
    name = models.CharField(max_length=60, blank=True)
    capacity = models.PositiveIntegerField(null=True, blank=True, help_text="Empty: no limit.")
    taken = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                name="never_oversold",
                condition=Q(taken__gte=0) & (Q(capacity=None) | Q(taken__lte=F("capacity"))),
            ),
            models.UniqueConstraint(fields=["event", "kind", "name"], name="one_pool_a_name"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.event_id}"

    @property
    def left(self) -> int | None:
        """Free places; None when there is no limit."""
        return None if self.capacity is None else self.capacity - self.taken

    @property
    def per_cent_taken(self) -> int:
        """For the seats bar: 0 to 100."""
        return 0 if not self.capacity else min(100, round(100 * self.taken / self.capacity))
