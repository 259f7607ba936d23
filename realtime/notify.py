"""Mail: one outbox. A row is claimed once by a unique key and carries one Message-ID for ever.

`mail` writes a row inside the caller's transaction, so a mail exists if and only if what it tells of happened.
`send_due` is the sweep: a mail that was being sent when the process died is in doubt and is sent again with
the same Message-ID, so that a mailbox may show it once.
"""

import re
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from email.utils import make_msgid
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db.models import F, Q
from django.template import Context
from django.template.loader import get_template
from django.utils import translation

from realtime import clock, ids
from realtime.models import Mail

MAX_TRIES = 5
NOTHING: dict[str, Any] = dict.fromkeys(("to", "subject", "text", "html", "attachment", "error"), "")
IN_DOUBT_AFTER = timedelta(minutes=10)  # longer than any mail server takes to answer
KEPT_FOR = timedelta(days=30)
WAIT_MINUTES = (1, 5, 30, 120)
END = "END:VCALENDAR\r\n"
METHOD = re.compile(r"(?m)^METHOD:([A-Z]+)")


def mail(
    kind: str,
    *,
    to: str,
    language: str,
    claim: str,
    context: Mapping[str, Any],
    member: Any = None,
    calendar: str = "",
) -> bool:
    """Put one mail in the outbox, written by templates/mail/<kind>.txt (its first line is the subject).

    `claim` names who, what, kind and version; False when such a mail exists already. `calendar` is the text of
    an .ics to attach. `site` and `member` are in the context. Two queries.
    """
    words = _written(kind, language, _context(context, member))
    return mail_rendered(
        kind, to=to, language=language, claim=claim, words=words, member=member, calendar=calendar
    )


def put(
    kind: str,
    *,
    to: str,
    language: str,
    claim: str,
    context: Mapping[str, Any],
    member: Any = None,
    calendar: str = "",
) -> None:
    """As `mail`, for who does not ask whether it was the first of its claim. One query."""
    words = _written(kind, language, _context(context, member))
    _insert(kind, to=to, language=language, claim=claim, words=words, member=member, calendar=calendar)


def _context(context: Mapping[str, Any], member: Any) -> dict[str, Any]:
    return {**context, "site": settings.PUBLIC_URL, "member": member}


def mail_rendered(
    kind: str,
    *,
    to: str,
    language: str,
    claim: str,
    words: tuple[str, str],
    member: Any = None,
    calendar: str = "",
) -> bool:
    """As `mail`, with subject and text (`words`) written by the caller. Two queries."""
    message_id = _insert(
        kind, to=to, language=language, claim=claim, words=words, member=member, calendar=calendar
    )
    return Mail.objects.filter(message_id=message_id).exists()


def _insert(
    kind: str, *, to: str, language: str, claim: str, words: tuple[str, str], member: Any, calendar: str
) -> str:
    """Write the row unless its claim is taken; gives the Message-ID it has if it was written."""
    subject, text = words
    fields = {
        "member": member,
        "to": to,
        "kind": kind,
        "language": language,
        "subject": subject[:250],
        "text": text,
        "message_id": make_msgid(domain=urlsplit(settings.PUBLIC_URL).hostname),
    }
    if calendar:
        method = METHOD.search(calendar)
        kind = f"text/calendar; method={method[1]}" if method else "text/calendar"
        fields |= {"attachment_name": "event.ics", "attachment_type": kind, "attachment": calendar}
    # Of two who claim it at once one writes the row, the other nothing; no savepoint, which would cost two statements more.
    Mail.objects.bulk_create([Mail(claim=claim[:200], **fields)], ignore_conflicts=True)
    return str(fields["message_id"])


def _written(kind: str, language: str, context: dict[str, Any]) -> tuple[str, str]:
    """Subject and text of a mail in the reader's language, its footer below."""
    with translation.override(language):
        whole, footer = (
            # plain text: nothing is escaped. `.template` is Django's own object below the backend's wrapper.
            get_template(name).template.render(Context(context, autoescape=False))  # type: ignore[attr-defined]
            for name in (f"mail/{kind}.txt", "mail/_footer.txt")
        )
    subject, _newline, text = whole.strip().partition("\n")
    return " ".join(subject.split()), f"{text.strip()}\n\n-- \n{footer.strip()}\n"


def send_due(limit: int = 100) -> int:
    """Send what is due, at most `limit` mails; how many were sent. Any number may run at once."""
    now = clock.now()
    queued = Q(state=Mail.State.QUEUED)
    in_doubt = Q(state=Mail.State.SENDING, claimed_at__lt=now - IN_DOUBT_AFTER)
    due = Mail.objects.filter(queued | in_doubt, due_at__lte=now).order_by("due_at", "pk")
    return sum(_send(row) for row in due[:limit] if _claim(row))


def send_again(mail_id: int, to: str) -> bool:
    """A mail that failed is due now, to this address; True unless it is no longer failed. One query.

    It keeps its Message-ID: a mailbox that had it after all shows it once.
    """
    failed = Mail.objects.filter(pk=mail_id, state=Mail.State.FAILED)
    return failed.update(state=Mail.State.QUEUED, to=to, tries=0, due_at=clock.now(), error="") == 1


def let_go(mail_id: int) -> bool:
    """A mail that failed is not tried again; True unless it is no longer failed. One query."""
    return Mail.objects.filter(pk=mail_id, state=Mail.State.FAILED).update(state=Mail.State.DROPPED) == 1


def _claim(row: Mail) -> bool:
    """Take a mail, if it is still as we saw it: of several sweeps exactly one gets it."""
    now = clock.now()
    as_seen = Mail.objects.filter(pk=row.pk, state=row.state, claimed_at=row.claimed_at, tries=row.tries)
    is_mine = as_seen.update(state=Mail.State.SENDING, claimed_at=now, tries=F("tries") + 1) == 1
    row.claimed_at, row.tries = now, row.tries + 1
    return is_mine


def _send(row: Mail) -> bool:
    """Hand a claimed mail to the mail server, outside any transaction, and write down what came of it."""
    if settings.MAIL_GOES_OUT:
        try:
            _message(row).send()
        except Exception as wrong:  # whatever a mail server does, the others must still go
            _failed(row, f"{type(wrong).__name__}: {wrong}"[:300])
            return False
    _mine(row, state=Mail.State.SENT, sent_at=clock.now(), error="")
    return True


def _message(row: Mail) -> EmailMultiAlternatives:
    headers = {
        "Message-ID": row.message_id,
        "Auto-Submitted": "auto-generated",
        "Content-Language": row.language,
    }
    message = EmailMultiAlternatives(
        row.subject, row.text, settings.DEFAULT_FROM_EMAIL, [row.to], headers=headers
    )
    if row.html:
        message.attach_alternative(row.html, "text/html")
    if "method=" in row.attachment_type:
        # RFC 6047: a part beside the text is what programs act on; a file is for those that know nothing of it, and for
        # what else there is: a part has one METHOD.
        first, *others = objects_of(row.attachment)
        message.attach_alternative(first, row.attachment_type)
        message.attach(row.attachment_name, first, "application/ics")
        for n, other in enumerate(others, start=2):
            message.attach(f"event-{n}.ics", other, "application/ics")
    elif row.attachment:
        message.attach(row.attachment_name, row.attachment, row.attachment_type)
    return message


def objects_of(text: str) -> list[str]:
    """The calendars that stand one after the other in `text` (RFC 5545 §3.4)."""
    return [one + END for one in text.split(END) if one.strip()]


def _failed(row: Mail, error: str) -> None:
    if row.tries >= MAX_TRIES:
        _mine(row, state=Mail.State.FAILED, error=error)
    else:
        again = _later(row.tries)
        _mine(row, state=Mail.State.QUEUED, due_at=again, error=error)


def _later(tries: int) -> datetime:
    return clock.now() + timedelta(minutes=WAIT_MINUTES[min(tries, len(WAIT_MINUTES)) - 1])


def _mine(row: Mail, **result: Any) -> None:
    """Write the result, unless another sweep took the mail over meanwhile."""
    Mail.objects.filter(pk=row.pk, state=Mail.State.SENDING, claimed_at=row.claimed_at).update(**result)


def forget_old() -> int:
    """The sweep: what was sent, dropped or given up 30 days ago loses its words and its address.

    The row stays: it says that this mail was sent, so that it never goes out twice. Returns how many. One query.
    """
    since = clock.now() - KEPT_FOR
    old = Q(sent_at__lt=since) | Q(state__in=[Mail.State.FAILED, Mail.State.DROPPED], due_at__lt=since)
    return Mail.objects.filter(old).exclude(to="").update(**NOTHING)


def hold(claims: Collection[str], until: datetime) -> int:
    """Mails of these claims, written in the caller's transaction, do not leave before `until`. How many. One query."""
    return Mail.objects.filter(claim__in=claims, state=Mail.State.QUEUED).update(due_at=until)


def withdraw(claims: Collection[str]) -> set[str]:
    """Mails of these claims that have not begun to leave never leave. Gives the claims of the others: sent, or about to be.

    One that is on its way at this moment arrives or does not, and is not tried again. Two queries, inside the caller's
    transaction: no sweep takes one of them meanwhile.
    """
    rows = Mail.objects.filter(claim__in=claims).select_for_update().order_by("pk")
    there = {row.claim: row for row in rows.only("pk", "claim", "state")}
    open_states = (Mail.State.QUEUED, Mail.State.SENDING)
    still_open = [row.pk for row in there.values() if row.state in open_states]
    Mail.objects.filter(pk__in=still_open).update(state=Mail.State.DROPPED)
    return {claim for claim, row in there.items() if row.state in (Mail.State.SENDING, Mail.State.SENT)}


def take_back(claims: str) -> None:
    """Mails whose claim begins so are no longer true: sent or not, nothing of them stays."""
    Mail.objects.filter(claim__startswith=claims).delete()


def forget(member_id: int, addresses: Collection[str], name: str) -> None:
    """What the outbox holds of somebody who goes: mails to them, their number, and their name in mails to others.

    A mail to somebody else that is still to be sent goes out without the name; one that was sent loses its words.
    """
    to_them = Q(member=member_id)
    for address in addresses:
        to_them |= Q(to__iexact=address)
    Mail.objects.filter(to_them).delete()
    numbered = Q(claim__contains=str(member_id)) | Q(claim__contains=ids.encode(member_id))
    for pk in list(Mail.objects.filter(numbered).values_list("pk", flat=True)):
        Mail.objects.filter(pk=pk).update(claim=f"gone:{pk}")
    for word in filter(None, [name, *addresses]):
        whole = re.compile(rf"(?<!\w){re.escape(word)}(?!\w)", re.IGNORECASE)
        said = Q(text__icontains=word) | Q(subject__icontains=word) | Q(attachment__icontains=word)
        for row in Mail.objects.filter(said):
            if not any(whole.search(words) for words in (row.subject, row.text, row.attachment)):
                continue
            if row.state in (Mail.State.QUEUED, Mail.State.SENDING):
                row.subject, row.text = whole.sub("…", row.subject), whole.sub("…", row.text)
                row.attachment = whole.sub("…", row.attachment)
                row.save(update_fields=["subject", "text", "attachment"])
            else:
                Mail.objects.filter(pk=row.pk).update(**NOTHING)
