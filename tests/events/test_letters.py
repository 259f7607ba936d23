"""Letters: everybody who comes, or who waits, gets one mail, once."""

from typing import Any
from uuid import uuid4

import pytest
from django.core.exceptions import PermissionDenied, ValidationError

from events import letters
from events.models import Event
from events.registration import Person, cancel, register
from realtime import blocks
from realtime.models import Mail
from tests.factories import make_client, make_event, make_member

pytestmark = pytest.mark.django_db
ME = Person()


@pytest.fixture
def full() -> tuple[Event, Any, Any]:
    """Two come, one of them with a guest; one waits; one has cancelled."""
    event = make_event(capacity=3, waiting_list="strict")
    gone = register(make_member(), event.pk, [ME])
    cancel(gone.member, gone.pk)
    first = register(make_member(), event.pk, [ME])
    second = register(make_member(), event.pk, [ME, Person(name="Oma")])
    waits = register(make_member(), event.pk, [ME], wait=True)
    Mail.objects.all().delete()
    return event, (first, second), waits


def sent() -> dict[str, Mail]:
    return {mail.to: mail for mail in Mail.objects.filter(kind="event_letter")}


def test_who_comes_or_who_waits_gets_one_mail_and_the_same_form_sends_none_again(full: Any) -> None:
    event, coming, waits = full
    key = uuid4()
    for _again in range(2):
        assert letters.write(event.host, event.pk, "coming", " Bring a cup. ", key) == 2
    assert set(sent()) == {row.member.email for row in coming}
    assert letters.write(event.host, event.pk, "waiting", "Still a chance!", uuid4()) == 1
    mail = sent()[waits.member.email]
    assert "Still a chance!" in mail.text and str(event.host) in mail.text
    assert mail.attachment == ""


def test_whom_a_block_keeps_apart_from_the_host_gets_no_letter(full: Any) -> None:
    event, (first, second), _waits = full
    blocks.block(first.member, event.host_id)
    assert letters.write(event.host, event.pk, "coming", "Bring a cup.", uuid4()) == 1
    assert set(sent()) == {second.member.email}


@pytest.mark.parametrize(
    ("to", "text", "field"),
    [("coming", " \n", "text"), ("coming", "x" * 2001, "text"), ("all", "Hello", "to")],
)
def test_a_letter_says_what_is_wrong_with_it(full: Any, to: str, text: str, field: str) -> None:
    event, *_rest = full
    with pytest.raises(ValidationError) as no:
        letters.write(event.host, event.pk, to, text, uuid4())
    assert list(no.value.error_dict) == [field]
    assert not sent()


def test_nobody_else_writes_and_not_to_nobody_and_not_without_end(full: Any) -> None:
    event, coming, _waits = full
    with pytest.raises(PermissionDenied):
        letters.write(coming[0].member, event.pk, "coming", "Hello", uuid4())
    with pytest.raises(ValidationError) as no:
        letters.write(event.host, make_event(host=event.host).pk, "coming", "Hello", uuid4())
    assert no.value.code == "closed"
    for _turn in range(letters.A_DAY):
        letters.write(event.host, event.pk, "coming", "Hello", uuid4())
    with pytest.raises(ValidationError) as no:
        letters.write(event.host, event.pk, "waiting", "Hello", uuid4())
    assert no.value.code == "too_fast"
    other = make_event(host=event.host)
    register(make_member(), other.pk, [ME])
    assert letters.write(event.host, other.pk, "coming", "Hello", uuid4()) == 1, (
        "each event counts for itself"
    )


def test_the_page_sends_it_and_keeps_what_was_refused(full: Any) -> None:
    event, coming, _waits = full
    page, url = make_client(event.host), f"{event.get_absolute_url()}guests/"
    assert "Write to them" in page.get(url).text
    wrong = page.post(f"{url}letter/", {"to": "coming", "text": "x" * 2001, "key": str(uuid4())})
    assert (wrong.status_code, "x" * 2001 in wrong.text, sent()) == (422, True, {})
    done = page.post(
        f"{url}letter/", {"to": "coming", "text": "Bring a cup", "key": str(uuid4())}, follow=True
    )
    assert "2 parties get your letter." in done.text
    assert len(sent()) == len(coming)
