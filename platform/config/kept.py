"""What the roof keeps of people: answers for repeated requests."""

from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from community.models import Member
from community.personal_fields import ONLY_YOU, Basis, Neutral, Purpose, add, in_order, table
from config import idempotency
from config.models import IdempotentAnswer

ANSWERS = Purpose(
    _("What we answered a program of yours"),
    _("So that a request that is sent twice happens once"),
    Basis.INTEREST,
    ONLY_YOU,
    _("%(days)d days"),
    idempotency.KEPT_FOR,
    idempotency.forget_old,
)

in_order(4, ANSWERS)
add(
    table(
        IdempotentAnswer,
        {
            Neutral.KEY: "id key digest",
            Neutral.LINK: "actor",
            Neutral.COUNT: "status",
            ANSWERS: "method path headers body created_at",
        },
        lambda pk: IdempotentAnswer.objects.filter(actor=pk),
    ),
)


def forget(member: Member) -> None:
    """A member goes for good: what we answered them, and what we told others of them."""
    of_them = Q(body__contains=member.public_id) | Q(body__contains=member.email)
    if member.display_name:
        of_them |= Q(body__contains=member.display_name)
    IdempotentAnswer.objects.filter(of_them | Q(actor=member)).delete()
