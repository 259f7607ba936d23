"""Rows of talk and of what reaches people: rooms, who is in them, what was said, and mail on its way."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import get_language, gettext

from realtime import clock
from realtime.ids import WithId


class RoomQuerySet(models.QuerySet["Room"]):
    def of(self, member_id: int) -> RoomQuerySet:
        """Rooms the member is in now."""
        return self.filter(participants__member=member_id, participants__left_seq=None)


class Room(WithId):
    """Where messages live. It knows its own title and link, and never why somebody is in it."""

    class Kind(models.TextChoices):
        CIRCLE = "circle"
        EVENT = "event"
        HOUSEHOLD = "household"
        DIRECT = "direct"
        CONTROL = "control"  # the one log of sign-outs, suspensions and blocks: nobody's, every hub's

    kind = models.CharField(max_length=10, choices=Kind)
    title = models.CharField(max_length=120)
    titles = models.JSONField(
        null=True, blank=True, help_text="{language: title}: what it is called in others."
    )
    link = models.CharField(max_length=200, blank=True, help_text="Path of the page the room belongs to.")
    head = models.BigIntegerField(default=0, help_text="seq of the newest entry.")
    n = models.BigIntegerField(default=0, help_text="Messages so far: what unread counts are made of.")
    closed_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=clock.now)

    objects = RoomQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="room_head_covers_its_messages", condition=Q(n__gte=0, head__gte=F("n"))
            ),
            models.UniqueConstraint(fields=["kind"], condition=Q(kind="control"), name="one_control_log"),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def name(self) -> str:
        """What it is called for who is not in it; a direct room and a household's have no title to tell."""
        if self.kind == self.Kind.DIRECT:
            return gettext("A conversation of two")
        if self.kind == self.Kind.HOUSEHOLD:
            return gettext("At home")
        return (self.titles or {}).get((get_language() or "en")[:2]) or self.title


class Participant(models.Model):
    """A member in a room. The row stays when they leave: `left_seq` says after which entry they hear nothing."""

    class Out(models.TextChoices):
        """Why somebody is out who could be in: only they, or only who looks after the room, can change that."""

        OWN = "own"  # they stepped out, and may come back
        REMOVED = "removed"  # they were taken out, and come in again only when they are let in

    room = models.ForeignKey(Room, models.CASCADE, related_name="participants")
    member = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    joined_seq = models.BigIntegerField()
    left_seq = models.BigIntegerField(null=True, blank=True)
    out = models.CharField(max_length=7, choices=Out, blank=True, default="", db_default="")
    read_seq = models.BigIntegerField(default=0)
    read_n = models.BigIntegerField(default=0)
    muted = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["room", "member"], name="one_participant_each"),
            models.CheckConstraint(
                name="read_counts_are_real", condition=Q(read_n__gte=0, read_seq__gte=F("read_n"))
            ),
        ]
        indexes = [models.Index(fields=["member"], condition=Q(left_seq=None), name="rooms_i_am_in")]

    def __str__(self) -> str:
        return f"{self.member_id} in {self.room_id}"


class Entry(models.Model):
    """One numbered row of a room's log. A message row is also its own present state (`text`, `rev`)."""

    class Kind(models.TextChoices):
        MESSAGE = "message"
        EDIT = "edit"
        DELETE = "delete"
        REACTION = "reaction"
        JOIN = "join"
        LEAVE = "leave"
        FORGET = "forget"  # somebody has gone and their words with them: read what is there anew
        SIGN_OUT = "sign_out"  # control log only, like the three below
        SUSPEND = "suspend"
        BLOCK = "block"
        SHOW = "show"

    room = models.ForeignKey(Room, models.CASCADE, related_name="entries")
    seq = models.BigIntegerField()
    n = models.BigIntegerField(help_text="Messages up to and with this entry.")
    kind = models.CharField(max_length=10, choices=Kind)
    author = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    key = models.UUIDField(null=True, help_text="Made by the sender: sent again, it is the same entry.")
    at = models.DateTimeField(default=clock.now)
    text = models.TextField(blank=True)
    language = models.CharField(max_length=12, blank=True)
    target = models.BigIntegerField(null=True, help_text="seq replied to, edited, removed or reacted to.")
    emoji = models.CharField(max_length=32, blank=True)
    on = models.BooleanField(null=True)
    rev = models.BigIntegerField(help_text="seq of the last change of this message; its own seq at first.")
    removed_at = models.DateTimeField(null=True)
    reason = models.CharField(max_length=200, blank=True)

    class Meta:
        verbose_name_plural = "entries"
        constraints = [
            models.UniqueConstraint(fields=["room", "seq"], name="one_entry_a_seq"),
            models.UniqueConstraint(fields=["room", "author", "key"], name="one_entry_a_key"),
            models.CheckConstraint(
                name="entry_seq_from_one", condition=Q(seq__gte=1, n__gte=0) & Q(seq__gte=F("n"))
            ),
            models.CheckConstraint(name="removed_text_is_gone", condition=Q(removed_at=None) | Q(text="")),
        ]
        indexes = [
            models.Index(fields=["room", "-seq"], condition=Q(kind="message"), name="messages_of_a_room")
        ]

    def __str__(self) -> str:
        return f"{self.room_id}#{self.seq} {self.kind}"


class Mention(models.Model):
    """A member named in a message: what the mark in their list of conversations counts, until they have read it."""

    room = models.ForeignKey(Room, models.CASCADE, related_name="+")
    seq = models.BigIntegerField(help_text="Of the message that names them.")
    member = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    name = models.CharField(max_length=60, db_default="", help_text="As it stands behind the @ in the text.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["member", "room", "seq"], name="one_mention_each"),
        ]
        indexes = [models.Index(fields=["room", "seq"], name="mentions_of_a_message")]

    def __str__(self) -> str:
        return f"{self.member_id} in {self.room_id}#{self.seq}"


class Block(models.Model):
    """Two members who hear nothing of each other anywhere, because one of them wished it so."""

    blocker = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    blocked = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    created_at = models.DateTimeField(default=clock.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["blocker", "blocked"], name="one_block_each"),
            models.CheckConstraint(name="nobody_blocks_themselves", condition=~Q(blocker=F("blocked"))),
        ]

    def __str__(self) -> str:
        return f"{self.blocker_id} blocks {self.blocked_id}"


class Showing(models.Model):
    """What a member lets others see of them in talk. No row: nothing, as for everybody who is new."""

    member = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", primary_key=True
    )
    is_shown = models.BooleanField(
        help_text="Whether others see that they are here, and that they are writing."
    )

    def __str__(self) -> str:
        return f"{self.member_id} {'shown' if self.is_shown else 'not shown'}"


class Mail(models.Model):
    """The outbox: one mail to one address. Claimed once, sent with one Message-ID for ever."""

    class State(models.TextChoices):
        QUEUED = "queued"
        SENDING = "sending"
        SENT = "sent"
        FAILED = "failed"
        DROPPED = "dropped"  # no longer true when its turn came

    claim = models.CharField(
        max_length=200, unique=True, help_text="recipient, subject, kind and version in one."
    )
    member = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, null=True, related_name="+")
    to = models.EmailField()
    kind = models.CharField(max_length=40)
    language = models.CharField(max_length=12)
    subject = models.CharField(max_length=250)
    text = models.TextField()
    html = models.TextField(blank=True)
    attachment_name = models.CharField(max_length=80, blank=True)
    attachment_type = models.CharField(max_length=80, blank=True)
    attachment = models.TextField(blank=True)
    message_id = models.CharField(max_length=120, unique=True)
    state = models.CharField(max_length=8, choices=State, default=State.QUEUED)
    due_at = models.DateTimeField(default=clock.now)
    created_at = models.DateTimeField(default=clock.now)
    claimed_at = models.DateTimeField(null=True)
    sent_at = models.DateTimeField(null=True)
    tries = models.PositiveSmallIntegerField(default=0)
    error = models.CharField(max_length=300, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["due_at"], condition=Q(state__in=["queued", "sending"]), name="mail_waiting")
        ]

    def __str__(self) -> str:
        return f"{self.kind} to {self.to}"


class Notification(WithId):
    """What a member is told on every page: that something happened, and with what; never the words of it."""

    member = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", db_index=False)
    kind = models.CharField(max_length=40)
    subject = models.CharField(
        max_length=12, blank=True, help_text="The kind of thing it is about, as its floor calls it."
    )
    subject_id = models.BigIntegerField(default=0)
    about = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        null=True,
        related_name="+",
        help_text="Whom it speaks of: it goes with them, and with a block between the two.",
    )
    said = models.JSONField(default=dict, help_text="What only that moment knew: a reason, a letter.")
    link = models.CharField(max_length=200, help_text="Path of the page it leads to.")
    claim = models.CharField(
        max_length=200, unique=True, help_text="recipient, subject, kind and version in one, as of its mail."
    )
    created_at = models.DateTimeField(default=clock.now, db_index=True)
    held_until = models.DateTimeField(null=True, help_text="Until then it is shown to nobody.")
    read_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["member", "-created_at"], name="notifications_of_a_member"),
            models.Index(fields=["member"], condition=Q(read_at=None, held_until=None), name="bell_unread"),
            models.Index(fields=["held_until"], condition=Q(held_until__isnull=False), name="bell_held"),
            models.Index(fields=["subject", "subject_id"], name="bell_about"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} to {self.member_id}"


class MailedKey(models.Model):
    """A key in a mail: good for one action on one row, once, until it expires. Only its digest is kept."""

    digest = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the key.")
    action = models.CharField(max_length=40)
    row_id = models.BigIntegerField(help_text="Of the row it is good for.")
    member = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, null=True, related_name="+")
    created_at = models.DateTimeField(default=clock.now)
    expires_at = models.DateTimeField(db_index=True)
    used_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.action} of {self.row_id}"


class Site(models.Model):
    """What is true of the whole site: one row."""

    epoch = models.PositiveIntegerField(
        default=1, help_text="Raised by a restore: clients read everything anew."
    )

    class Meta:
        constraints = [models.CheckConstraint(name="one_site", condition=Q(pk=1))]

    def __str__(self) -> str:
        return f"epoch {self.epoch}"


class DirectTalk(models.Model):
    """The one room of two members, for ever: whichever of them asked first."""

    room = models.OneToOneField(Room, models.CASCADE, related_name="+")
    first = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    second = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    opened_at = models.DateTimeField(default=clock.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["first", "second"], name="one_room_a_pair"),
            models.CheckConstraint(name="a_pair_has_one_order", condition=Q(first__lt=F("second"))),
        ]

    def __str__(self) -> str:
        return f"{self.first_id} and {self.second_id}"


class TalkRequest(WithId):
    """One member asks another to talk; nothing opens before the other agrees. Asked again later, it is the same row."""

    class State(models.TextChoices):
        OPEN = "open"
        ACCEPTED = "accepted"
        DECLINED = "declined"

    asker = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    asked = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    state = models.CharField(max_length=8, choices=State, default=State.OPEN)
    asked_at = models.DateTimeField(default=clock.now)
    answered_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["asker", "asked"], name="one_request_each_way"),
            models.CheckConstraint(name="nobody_asks_themselves", condition=~Q(asker=F("asked"))),
        ]

    def __str__(self) -> str:
        return f"{self.asker_id} asks {self.asked_id}: {self.state}"


class Report(WithId):
    """A message or a person that somebody who looks after the room should look at. While it is open, who else reports
    the same joins it. What was said is kept as it was, in `ReportedLine`.
    """

    class Decision(models.TextChoices):
        NOTHING = "nothing"
        HIDDEN = "hidden"  # the message
        REMOVED = "removed"  # its author, from the room

    room = models.ForeignKey(Room, models.CASCADE, related_name="+")
    seq = models.BigIntegerField(null=True, help_text="Of the message; none when a person is reported.")
    about = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        related_name="+",
        help_text="Who wrote it, or who is reported.",
    )
    opened_at = models.DateTimeField(default=clock.now)
    decided_at = models.DateTimeField(null=True, blank=True, db_index=True)
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    decision = models.CharField(max_length=7, choices=Decision, blank=True)
    note = models.CharField(max_length=500, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["room", "seq"],
                condition=Q(decided_at=None, seq__isnull=False),
                name="one_open_report_a_message",
            ),
            models.UniqueConstraint(
                fields=["room", "about"],
                condition=Q(decided_at=None, seq=None),
                name="one_open_report_a_person",
            ),
            models.CheckConstraint(
                name="what_is_decided_says_how",
                condition=Q(decided_at=None, decision="") | Q(decided_at__isnull=False) & ~Q(decision=""),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.room_id}#{self.seq or ''} {self.decision or 'open'}"


class ReportedLine(models.Model):
    """A copy of what was said: the message a report is about, and a few round it."""

    report = models.ForeignKey(Report, models.CASCADE, related_name="lines")
    seq = models.BigIntegerField()
    author = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    at = models.DateTimeField()
    text = models.TextField(blank=True)
    language = models.CharField(max_length=12, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["report", "seq"], name="one_copy_a_line")]

    def __str__(self) -> str:
        return f"{self.report_id}#{self.seq}"


class Complaint(models.Model):
    """That one member reports it, and why. Only who looks after the room reads it; never who is reported."""

    class Reason(models.TextChoices):
        RUDE = "rude"
        HARASSING = "harassing"
        ADVERTISING = "advertising"
        PRIVATE = "private"
        DANGER = "danger"
        OTHER = "other"

    report = models.ForeignKey(Report, models.CASCADE, related_name="complaints")
    member = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    reason = models.CharField(max_length=11, choices=Reason)
    text = models.CharField(max_length=1000, blank=True)
    at = models.DateTimeField(default=clock.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["report", "member"], name="one_complaint_each")]

    def __str__(self) -> str:
        return f"{self.member_id}: {self.reason}"
