"""Households: two adults who both agreed, and children without accounts."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Lower
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from community.models import Child, Household, HouseholdAdult, HouseholdInvitation, HouseholdRoom, Member
from community.models.households import FIRST_BIRTH_YEAR
from realtime import clock, notify, rooms
from realtime.models import Room
from realtime.prepared import ID, TEXT, prepared

MOST_ADULTS = 2  # each agreed to the other; a third would have to be agreed to by both
MOST_CHILDREN = 10
INVITATIONS_A_DAY = 5  # each is a mail to somebody who may not know us
INVITATION_KEPT = timedelta(days=30)
OPEN = HouseholdInvitation.State.OPEN
_CHILDREN = (
    Child.objects.filter(household=OuterRef("household"))
    .order_by()
    .values("household")
    .annotate(n=Count("pk"))
    .values("n")
)


def of(member: Member) -> Household | None:
    """The household the member lives in. One query."""
    return Household.objects.filter(adults__member=member).first()


def adults_of(household: Household) -> list[Member]:
    """Its adults, in the order they came. One query."""
    return list(Member.objects.filter(home__household=household).order_by("home__pk"))


def children_of(household: Household) -> list[Child]:
    """Its children, the eldest first. One query."""
    return list(Child.objects.filter(household=household))


def live_with(member: Member) -> tuple[list[Member], list[Child]]:
    """The other adults and the children the member lives with. Two queries, one for who has no household."""
    adults = _adults_with(member=member.pk)
    if not adults:
        return [], []
    children = _children_in(household=adults[0].household_id)
    return [row.member for row in adults if row.member_id != member.pk], children


@prepared(member=ID)
def _adults_with(*, member: Any) -> QuerySet[HouseholdAdult]:
    rows = HouseholdAdult.objects.filter(household__adults__member=member)
    return rows.select_related("member").order_by("pk")


@prepared(household=ID)
def _children_in(*, household: Any) -> QuerySet[Child]:
    return Child.objects.filter(household=household)


def summary_of(member: Member) -> tuple[list[Member], int]:
    """The other adults of the member's household and the number of its children. One query."""
    adults = HouseholdAdult.objects.filter(household__adults__member=member).select_related("member")
    rows = list(adults.annotate(children=Subquery(_CHILDREN)).order_by("pk"))
    return [row.member for row in rows if row.member_id != member.pk], rows[0].children or 0 if rows else 0


def invitations_to(member: Member) -> QuerySet[HouseholdInvitation]:
    """Who waits for this member's answer: it is the address that was invited."""
    return (
        HouseholdInvitation.objects.filter(email__iexact=member.email, state=OPEN)
        .select_related("inviter")
        .order_by("created_at")
    )


def invitation_to(member: Member) -> HouseholdInvitation | None:
    """The first open one of these. One query."""
    return next(iter(_first_to(email=member.email.lower())), None)


@prepared(email=TEXT)
def _first_to(*, email: Any) -> QuerySet[HouseholdInvitation]:
    return open_invitations(email).select_related("inviter").order_by("pk")[:1]


def open_invitations(email: Any) -> QuerySet[HouseholdInvitation]:
    """Those that nobody has answered yet, to an address in small letters. For a query."""
    return HouseholdInvitation.objects.alias(low=Lower("email")).filter(low=email, state=OPEN)


def invitation_by(member: Member) -> HouseholdInvitation | None:
    """The one invitation of this member that nobody answered yet. One query."""
    return HouseholdInvitation.objects.filter(inviter=member, state=OPEN).first()


def _invitation_for(member: Member, invitation_id: int, *, by: bool = False) -> HouseholdInvitation:
    """An invitation to (`by`: from) the member, whatever its state. Raises HouseholdInvitation.DoesNotExist."""
    mine = Q(inviter=member) if by else Q(email__iexact=member.email)
    return HouseholdInvitation.objects.select_related("inviter").get(mine, pk=invitation_id)


def _lock(*members: Member) -> None:
    """Hold these members' rows until the transaction ends: whoever changes a household locks its people first."""
    list(
        Member.objects.select_for_update()
        .filter(pk__in=[m.pk for m in members])
        .order_by("pk")
        .values_list("pk")
    )


@transaction.atomic
def invite(member: Member, email: str) -> HouseholdInvitation:
    """Ask the person behind an address to be one household; the answer is the same whether there is such a member.

    The same address again gives the same invitation and no second mail. Raises ValidationError: own address (self),
    another invitation is open (open), the household has its adults (full), too many in a day (too_many).
    """
    email = email.strip().lower()
    _lock(member)
    if email == member.email.lower():
        raise ValidationError(
            _("That is your own address. Enter the one of the person you live with."), code="self"
        )
    household = of(member)
    if household and household.adults.count() >= MOST_ADULTS:
        raise ValidationError(_("Your household has its two adults already."), code="full")
    earlier = invitation_by(member)
    if earlier is not None:
        if earlier.email == email:
            return earlier
        raise ValidationError(
            _("You have asked somebody already. Withdraw that invitation first."), code="open"
        )
    day = HouseholdInvitation.objects.filter(inviter=member, created_at__gt=clock.now() - timedelta(days=1))
    if day.count() >= INVITATIONS_A_DAY:
        raise ValidationError(
            _("That were many invitations for one day. Try again tomorrow."), code="too_many"
        )
    invitation = HouseholdInvitation.objects.create(inviter=member, email=email)
    invitee = Member.objects.filter(email__iexact=email, is_active=True).first()
    _tell("household_invitation", email, invitee, member, f"household:{invitation.pk}:invited")
    return invitation


@transaction.atomic
def accept(member: Member, invitation_id: int) -> Household:
    """Agree: from now on both are one household; children either has come along. Again: nothing new happens.

    Raises HouseholdInvitation.DoesNotExist when it is not for this member; ValidationError when it was withdrawn or
    declined (closed), or when either lives with somebody else by now (full).
    """
    invitation = _invitation_for(member, invitation_id)
    inviter = invitation.inviter
    _lock(member, inviter)
    theirs, mine = of(inviter), of(member)
    changed = HouseholdInvitation.objects.filter(pk=invitation.pk, state=OPEN).update(
        state=HouseholdInvitation.State.ACCEPTED, answered_at=clock.now()
    )
    if not changed:
        if theirs and theirs == mine:
            return theirs
        raise ValidationError(_("This invitation is no longer open. Ask for a new one."), code="closed")
    if mine and mine.adults.count() > 1:
        raise ValidationError(
            _("You share a household with somebody else. Leave it first, then accept."), code="full"
        )
    if theirs and theirs.adults.count() >= MOST_ADULTS:
        raise ValidationError(_("This household has its two adults already."), code="full")
    if not inviter.is_active:
        raise ValidationError(_("This invitation is no longer open. Ask for a new one."), code="closed")
    household = theirs or _found(inviter)
    if mine:
        Child.objects.filter(household=mine).update(household=household)
        mine.delete()
    HouseholdAdult.objects.create(household=household, member=member)
    open_room(household)
    HouseholdInvitation.objects.filter(inviter=member, state=OPEN).update(
        state=HouseholdInvitation.State.WITHDRAWN, answered_at=clock.now()
    )
    _tell("household_accepted", inviter.email, inviter, member, f"household:{invitation.pk}:accepted")
    return household


def decline(member: Member, invitation_id: int) -> None:
    """Say no: nobody is linked and no mail is sent. Again: nothing happens. Raises HouseholdInvitation.DoesNotExist."""
    _close(_invitation_for(member, invitation_id), HouseholdInvitation.State.DECLINED)


def withdraw(member: Member, invitation_id: int) -> None:
    """Take one's own invitation back. Again: nothing happens. Raises HouseholdInvitation.DoesNotExist."""
    _close(_invitation_for(member, invitation_id, by=True), HouseholdInvitation.State.WITHDRAWN)


def _close(invitation: HouseholdInvitation, state: HouseholdInvitation.State) -> None:
    HouseholdInvitation.objects.filter(pk=invitation.pk, state=OPEN).update(
        state=state, answered_at=clock.now()
    )


def _found(member: Member) -> Household:
    household = Household.objects.create()
    HouseholdAdult.objects.create(household=household, member=member)
    return household


def open_room(household: Household) -> Room | None:
    """The room of the household's two adults, made when there is none yet; None while one lives alone. Idempotent."""
    adults = adults_of(household)
    if len(adults) < MOST_ADULTS:
        return None
    known = HouseholdRoom.objects.filter(household=household).select_related("room").first()
    room = known.room if known else rooms.open(Room.Kind.HOUSEHOLD, "household", "/me/household/")
    if known is None:
        HouseholdRoom.objects.create(household=household, room=room)
    rooms.enter_all(room.pk, adults)
    return room


def room_of(household: Household) -> int | None:
    """The id of the room its adults talk in. One query."""
    rows = HouseholdRoom.objects.filter(household=household)
    return rows.values_list("room", flat=True).first()


def _leave_room(household: Household, member: Member) -> None:
    """The member is out of the household's room, which is closed then: who stays can read it, and a third never will."""
    known = HouseholdRoom.objects.filter(household=household).select_related("room").first()
    if known is not None:
        rooms.leave(known.room, member, "left the household")
        rooms.close(known.room)
        known.delete()


@transaction.atomic
def add_child(member: Member, nickname: str, birth_year: int) -> Child:
    """A child of the member's household, which is made when there is none. The same child again is the same child.

    Raises ValidationError for an empty nickname, a year that cannot be, or more than ten children (full).
    """
    _lock(member)
    nickname = " ".join(nickname.split())[:40]
    if not nickname:
        raise ValidationError({"nickname": _("A first name or nickname is enough.")}, code="required")
    if not FIRST_BIRTH_YEAR <= birth_year <= clock.now().year:
        raise ValidationError(
            {"birth_year": _("Enter the year of birth, such as %d.") % (clock.now().year - 6)}, code="invalid"
        )
    household = of(member) or _found(member)
    Household.objects.select_for_update().get(pk=household.pk)  # the other parent may be adding one, too
    children = {(child.nickname, child.birth_year): child for child in children_of(household)}
    if (nickname, birth_year) in children:
        return children[nickname, birth_year]
    if len(children) >= MOST_CHILDREN:
        raise ValidationError(_("A household has %d children at most here.") % MOST_CHILDREN, code="full")
    return Child.objects.create(household=household, nickname=nickname, birth_year=birth_year)


@transaction.atomic
def remove_child(member: Member, child_id: int) -> None:
    """Forget a child of the member's household. One who is gone already, or somebody else's: nothing happens."""
    Child.objects.filter(pk=child_id, household__adults__member=member).delete()


@transaction.atomic
def leave(member: Member) -> None:
    """Leave the household: the children stay with the other adult; who is the last takes all of it away. Idempotent."""
    household = of(member)
    if household is None:
        return
    _lock(
        *adults_of(household)
    )  # all at once, in one order: two who leave together wait, never for each other
    if not HouseholdAdult.objects.filter(household=household, member=member).delete()[0]:
        return
    _leave_room(household, member)
    left = adults_of(household)
    if not left:
        household.delete()
    for other in left:
        _tell(
            "household_left",
            other.email,
            other,
            member,
            f"household:{household.pk}:left:{member.pk}:{clock.now():%Y%m%d%H%M%S}",
        )


@transaction.atomic
def forget(member: Member) -> None:
    """A member goes for good: out of the household without a word, with the invitations they sent or got."""
    invitations = HouseholdInvitation.objects.filter(Q(inviter=member) | Q(email__iexact=member.email))
    for pk in list(invitations.values_list("pk", flat=True)):
        notify.take_back(f"household:{pk}:")
    invitations.delete()
    household = of(member)
    if household is not None:
        _lock(*adults_of(household))
        HouseholdAdult.objects.filter(household=household, member=member).delete()
        _leave_room(household, member)
        if not adults_of(household):
            household.delete()


def forget_old() -> int:
    """The sweep: invitations sent or answered more than 30 days ago go. Returns how many. One query."""
    since = clock.now() - INVITATION_KEPT
    old = Q(answered_at=None, created_at__lt=since) | Q(answered_at__lt=since)
    return HouseholdInvitation.objects.filter(old).delete()[0]


def _tell(kind: str, to: str, recipient: Member | None, about: Member, claim: str) -> None:
    """One mail about the household; somebody we do not know gets it in the language of who wrote it."""
    language = recipient.language if recipient else about.language or get_language() or "en"
    context: dict[str, Any] = {
        "name": about.display_name,
        "url": f"{settings.PUBLIC_URL}/me/household/",
    }
    notify.mail(kind, to=to, language=language, claim=claim, context=context, member=recipient)
