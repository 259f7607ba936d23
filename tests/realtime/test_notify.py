"""The outbox: a mail is claimed once, sent once, and in doubt it is sent again under the same Message-ID."""

import smtplib
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.db import connections, transaction

from realtime import clock as house_clock
from realtime import notify
from realtime.models import Mail
from tests.factories import make_member

from .test_chat import at_once


@pytest.fixture(autouse=True)
def _template(settings: Any, tmp_path: Any) -> None:
    settings.MAIL_GOES_OUT = True
    folder = tmp_path / "mail"
    folder.mkdir()
    words = "{% load i18n %}Hello {{ name }}\n\n{% translate 'Your message' %} & {{ name }}\n"
    (folder / "greeting.txt").write_text(words)
    templates = settings.TEMPLATES[0]
    settings.TEMPLATES = [templates | {"DIRS": [tmp_path, *templates["DIRS"]]}]


def greet(claim: str = "greeting:1", **more: Any) -> bool:
    given = {"to": "ana@example.org", "language": "en", "context": {"name": "O'Neill & Co"}} | more
    return notify.mail("greeting", claim=claim, **given)


@pytest.mark.django_db
def test_a_mail_is_written_once_and_says_why_it_came():
    assert greet() is True
    assert greet() is False

    row = Mail.objects.get()
    assert row.subject == "Hello O'Neill & Co"
    assert row.text.startswith("Your message & O'Neill & Co\n\n-- \n")
    assert "You get this mail because" in row.text


@pytest.mark.django_db
def test_a_mail_is_there_only_if_what_it_tells_of_happened():
    with pytest.raises(RuntimeError), transaction.atomic():
        greet()
        raise RuntimeError
    assert not Mail.objects.exists()


@pytest.mark.django_db
def test_the_sweep_sends_what_is_due_once():
    greet(member=make_member(), calendar="BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n")

    assert (notify.send_due(), notify.send_due()) == (1, 0)

    (sent,) = mail.outbox
    row = Mail.objects.get()
    assert (sent.to, sent.subject, sent.extra_headers["Message-ID"]) == (
        ["ana@example.org"],
        row.subject,
        row.message_id,
    )
    assert sent.message()["Message-ID"] == row.message_id
    assert [name for name, *_rest in sent.attachments] == ["event.ics"]
    assert (row.state, row.tries) == ("sent", 1)


@pytest.mark.django_db
def test_where_no_mail_goes_out_it_waits_in_the_mailbox_page(settings: Any):
    settings.MAIL_GOES_OUT = False
    greet()
    assert notify.send_due() == 1
    assert not mail.outbox
    assert Mail.objects.get().state == "sent"


@pytest.mark.django_db
def test_a_mail_in_doubt_is_sent_again_under_the_same_message_id(clock: Any):
    greet()
    row = Mail.objects.get()
    assert notify._claim(row)  # and then the process died

    clock.shift(60)
    assert notify.send_due() == 0
    clock.shift(timedelta(minutes=11))
    assert notify.send_due() == 1
    assert mail.outbox[0].extra_headers["Message-ID"] == row.message_id


class _Broken:
    """A mail server that is out of order."""

    def __init__(self, **_options: Any) -> None:
        pass

    def send_messages(self, _messages: Any) -> int:
        raise smtplib.SMTPServerDisconnected("gone")

    open = close = lambda self: None


@pytest.mark.django_db
def test_a_mail_server_that_is_down_is_tried_five_times_with_pauses(settings: Any, clock: Any):
    settings.MAILERS = {"default": {"BACKEND": f"{__name__}._Broken"}}
    greet()
    pauses = []
    for _ in range(5):
        notify.send_due()
        row = Mail.objects.get()
        pauses.append(round((row.due_at - house_clock.now()).total_seconds() / 60))
        assert "SMTPServerDisconnected" in row.error
        clock.move_to(max(row.due_at, house_clock.now()) + timedelta(seconds=1))
    assert pauses[:4] == [1, 5, 30, 120]
    assert (row.state, row.tries) == ("failed", 5)
    assert notify.send_due() == 0


@pytest.mark.django_db(transaction=True)
def test_many_sweeps_at_once_send_each_mail_once():
    for number in range(12):
        greet(f"greeting:{number}")
    sent = at_once(lambda _number: notify.send_due(), times=8)
    assert sum(sent) == 12
    assert sorted(message.extra_headers["Message-ID"] for message in mail.outbox) == sorted(
        Mail.objects.values_list("message_id", flat=True)
    )


@pytest.mark.django_db(transaction=True)
def test_one_claim_made_by_many_at_once_is_one_mail():
    made = at_once(lambda _number: greet(), times=12)
    assert sorted(made) == [False] * 11 + [True]
    connections.close_all()
