"""What is kept of what reaches people: mails, the keys in them, and the bell."""

from allauth.account.models import EmailAddress
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from community.personal_fields import ONLY_YOU, Basis, Neutral, Purpose, add, table
from realtime import bell, keys, notify
from realtime.models import Mail, MailedKey, Notification

KEY, LINK, COUNT = Neutral.KEY, Neutral.LINK, Neutral.COUNT

MAILS = Purpose(
    _("Mails we sent you"),
    _("To send each once, and to send it again when you ask"),
    Basis.CONTRACT,
    _("You; staff of your home centre and of those whose events you register for"),
    _("Words and address go %(days)d days after sending"),
    notify.KEPT_FOR,
    notify.forget_old,
    _("The operator's mail provider"),
)
BELL = Purpose(
    _("What the bell told you"),
    _("So that you hear of what happens to what you take part in"),
    Basis.CONTRACT,
    ONLY_YOU,
    _("%(days)d days"),
    bell.KEPT_FOR,
    bell.forget_old,
)
MAILED_KEYS = Purpose(
    _("Keys in mails, such as the one that gives a place back"),
    _("So that one tap is enough, without signing in"),
    Basis.CONTRACT,
    ONLY_YOU,
    _("%(days)d days after the key has run out"),
    keys.KEPT_FOR,
    keys.forget_old,
)

add(
    table(
        Mail,
        {
            KEY: "id claim message_id",
            LINK: "member",
            COUNT: "claimed_at tries",
            MAILS: "to kind language subject text html attachment_name attachment_type attachment"
            " state due_at created_at sent_at error",
        },
        lambda pk: Mail.objects.filter(
            Q(member=pk) | Q(to__in=EmailAddress.objects.filter(user=pk).values("email"))
        ),
    ),
    table(
        Notification,
        {
            KEY: "id claim",
            LINK: "member subject_id",
            COUNT: "held_until",
            BELL: "kind subject about said link created_at read_at",
        },
        lambda pk: Notification.objects.filter(member=pk),
        {"about": "about__display_name"},
    ),
    table(
        MailedKey,
        {
            KEY: "id digest",
            LINK: "member row_id",
            MAILED_KEYS: "action created_at expires_at used_at",
        },
        lambda pk: MailedKey.objects.filter(member=pk),
    ),
)
