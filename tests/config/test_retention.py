"""What is kept for a number of days is there on the last of them and gone after it, by the sweep of the registry."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session

from community import audit, exports, households, kept, members, personal_fields, privacy, sign_ins
from community.models import (
    Erasure,
    Export,
    HouseholdInvitation,
    Member,
    SecurityRecord,
)
from community.personal_fields import Purpose
from config import kept as roof
from config.models import IdempotentAnswer
from events import gates, inquiries, inviting
from events import kept as events_kept
from events.models import Answers, Attendee, Event, GatePairing, Inquiry, Invitation
from events.questions import Given
from events.registration import Person, register
from realtime import clock as our_clock
from realtime import direct, keys, notify, reports
from realtime.models import Mail, MailedKey, Notification, Report, TalkRequest
from tests.factories import make_circle, make_event, make_member, make_newcomer, make_room

pytestmark = pytest.mark.django_db
MOMENT = timedelta(minutes=5)


@dataclass(frozen=True)
class Kept:
    """Makes something that is kept so long, and says how much of it is there."""

    purpose: Purpose
    make: Callable[[], object]
    there: Callable[[], int]
    more: timedelta = timedelta()  # from making it to the day the time is counted from


def _unconfirmed() -> None:
    EmailAddress.objects.filter(user=make_newcomer()).update(verified=False)


def _sent_mail() -> None:
    notify.mail_rendered("hello", to="a@example.org", language="en", claim="c", words=("Hi", "Dear Ada"))
    assert notify.send_due() == 1


def _session() -> None:
    session = SessionStore()
    session["_auth_user_id"] = str(make_member().pk)
    session.create()
    Session.objects.update(expire_date=our_clock.now() + sign_ins.SESSION_KEPT)
    UserSession.objects.create(
        user=Member.objects.get(), ip="192.0.2.1", session_key=session.session_key, user_agent="x"
    )


def _guests() -> None:
    event = make_event()
    register(make_member(), event.pk, [Person(), Person(name="Grandma", age=80)])


def _answered() -> None:
    event = make_event()
    event.questions = [{"id": "q", "text": "Nuts?", "kind": "yes"}]
    event.save()
    register(make_member(), event.pk, [Person()], given=Given({"q": "yes"}))


def _invited() -> None:
    event = make_event()
    inviting.invite_addresses(event.host, event.pk, "bo@example.org")


def _past_day() -> timedelta:
    return timedelta(days=1, hours=2)  # make_event is tomorrow, two hours long


def _unused() -> None:
    member = make_member()
    Member.objects.filter(pk=member.pk).update(last_login=our_clock.now())


def _question() -> None:
    ana, bo = make_member(), make_member()
    make_room(ana, bo)
    direct.ask(ana, bo.pk)


def _decided_report() -> None:
    host, ana, bo = make_member(), make_member(), make_member()
    room = make_circle(ana, bo, host=host).room
    report = reports.report_person(ana, room.pk, bo.pk, "rude").report
    reports.decide(host, report, "nothing", "Fine")


EACH = [
    Kept(kept.ADDRESS, _unconfirmed, Member.objects.count),
    Kept(
        kept.INVITATION,
        lambda: households.invite(make_member(), "b@example.org"),
        HouseholdInvitation.objects.count,
    ),
    Kept(kept.MAILS, _sent_mail, lambda: Mail.objects.filter(text__contains="Ada").count()),
    Kept(kept.BELL, _question, Notification.objects.count),
    Kept(
        kept.MAILED_KEYS,
        lambda: keys.make("cancel", 1, expires_at=our_clock.now()),
        MailedKey.objects.count,
    ),
    Kept(kept.DEVICES, _session, UserSession.objects.count),
    Kept(
        kept.SECURITY,
        lambda: audit.record(audit.Action.SIGNED_IN, actor=make_member()),
        SecurityRecord.objects.count,
    ),
    Kept(
        kept.COPIES,
        lambda: (exports.ask(make_member()), exports.make_due()),
        lambda: Export.objects.filter(state="done").count(),
    ),
    Kept(kept.ASKING, _question, TalkRequest.objects.count),
    Kept(kept.REPORTS, _decided_report, Report.objects.count),
    Kept(
        kept.LEAVING,
        lambda: Erasure.objects.create(member_id=1, due_at=our_clock.now(), done_at=our_clock.now()),
        Erasure.objects.count,
    ),
    Kept(kept.ACCOUNT, _unused, lambda: Member.objects.count() - Erasure.objects.count()),
    Kept(
        events_kept.PARTIES,
        _guests,
        lambda: Attendee.objects.filter(name="Grandma", age=80).count(),
        _past_day(),
    ),
    Kept(events_kept.ANSWERS, _answered, Answers.objects.count, _past_day()),
    Kept(
        events_kept.ASKED,
        lambda: inquiries.ask(make_member(), make_event().pk, "A pram?"),
        Inquiry.objects.count,
        _past_day(),
    ),
    Kept(events_kept.INVITED, _invited, Invitation.objects.count, _past_day()),
    Kept(
        events_kept.GATES,
        lambda: gates.pair(make_event().host, Event.objects.get().pk),
        GatePairing.objects.count,
        gates.PAIRING_LASTS,
    ),
    Kept(
        roof.ANSWERS,
        lambda: IdempotentAnswer.objects.create(
            actor=make_member(), method="POST", path="/", key=uuid.uuid4(), digest="x"
        ),
        IdempotentAnswer.objects.count,
    ),
]


@pytest.mark.parametrize("one", EACH, ids=lambda one: str(one.purpose.what)[:30])
def test_it_is_there_on_the_last_day_and_gone_after_it(one: Kept, clock: Any):
    assert one.purpose.kept
    assert one.purpose.sweep
    one.make()
    assert one.there() == 1
    clock.shift(one.more + one.purpose.kept - MOMENT)
    one.purpose.sweep()
    assert one.there() == 1, "forgotten too early"
    clock.shift(2 * MOMENT)
    assert one.there() == 1, "only the sweep forgets"
    one.purpose.sweep()
    assert one.there() == 0, "kept too long"


def test_every_number_on_the_privacy_page_is_tested_here():
    assert {one.purpose for one in EACH} == {
        purpose for purpose in personal_fields.purposes() if purpose.kept
    }


def test_a_session_lasts_no_longer_than_the_page_says():
    assert timedelta(seconds=settings.SESSION_COOKIE_AGE) <= sign_ins.SESSION_KEPT


def test_who_confirmed_or_came_in_is_not_forgotten(clock: Any):
    confirmed, came_in = make_newcomer(), make_newcomer()
    EmailAddress.objects.filter(user=came_in).update(verified=False)
    Member.objects.filter(pk=came_in.pk).update(last_login=our_clock.now())
    clock.shift(timedelta(days=31))
    assert members.forget_unconfirmed() == 0
    assert Member.objects.filter(pk__in=[confirmed.pk, came_in.pk]).count() == 2


def test_a_mail_that_waits_keeps_its_words_and_one_that_was_sent_is_never_sent_again(clock: Any):
    _sent_mail()
    notify.mail_rendered("hello", to="b@example.org", language="en", claim="d", words=("Hi", "Dear Ben"))
    clock.shift(timedelta(days=31))
    assert notify.forget_old() == 1
    assert Mail.objects.get(claim="d").text == "Dear Ben"
    assert not notify.mail_rendered(
        "hello", to="a@example.org", language="en", claim="c", words=("Hi", "Again")
    )


def test_an_account_nobody_uses_is_warned_once_before_it_is_closed(clock: Any):
    _unused()
    clock.shift(timedelta(days=729))
    assert privacy.close_unused() == 0
    clock.shift(timedelta(days=2))
    assert (privacy.close_unused(), privacy.close_unused()) == (1, 0)
    assert Mail.objects.get().kind == "unused"
    clock.shift(timedelta(days=365))
    assert privacy.close_unused() == 1
    assert Member.objects.exists()  # two weeks more, and a mail
    clock.shift(privacy.GRACE)
    assert privacy.erase_due() == 1


def test_who_lets_a_program_come_by_is_not_away(clock: Any):
    _unused()
    sign_ins.issue_token(Member.objects.get(), "calendar")
    clock.shift(timedelta(days=1200))
    assert privacy.close_unused() == 0
