"""What a host asks: sealed, read by who runs the event and its door, health only with a yes, gone 14 days after."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test import Client

from community.sign_ins import issue_token
from config import archive, rotation
from events import guests, hosting, privacy, questions, registration
from events.models import Answers, Event, Registration
from events.models.registration import Guest
from events.questions import Given, Question
from events.registration import Person, cancel, change_party, register
from realtime import clock as times
from realtime import sealing
from tests.factories import make_centre, make_client, make_event, make_host, make_household, make_member

pytestmark = pytest.mark.django_db
ME = Person()
DUTCH = Question("d", "How is your Dutch?", "choice", ("None yet", "A little", "Good"), is_required=True)
DIET = Question("f", "What do you not eat?", is_sensitive=True)
CHAIR = Question("c", "Do you bring a chair?", "yes")


@pytest.fixture
def host() -> Any:
    return make_host()


@pytest.fixture
def event(host: Any) -> Event:
    event = make_event(host=host, starts_at=times.now() + timedelta(days=10))
    return hosting.change(host, event.pk, {"questions": questions.written([DUTCH, DIET, CHAIR])})


def errors_of(work: Any, *args: Any, **more: Any) -> list[str]:
    with pytest.raises(ValidationError) as no:
        work(*args, **more)
    return sorted(no.value.message_dict)


def answered(event: Event, **more: Any) -> Registration:
    given = Given({"d": "Good", "f": "Nuts", "c": "yes"}, frozenset("f"))
    return register(make_member(**more), event.pk, [ME], given=given)


def test_answers_are_kept_sealed_and_read_back(event: Event) -> None:
    row = answered(event)
    assert questions.lines(event, questions.given_by(row)) == [
        ("How is your Dutch?", "Good"),
        ("What do you not eat?", "Nuts"),
        ("Do you bring a chair?", "yes"),
    ]
    with connection.cursor() as cursor:
        cursor.execute("SELECT given FROM events_answers")
        (sealed,) = cursor.fetchone()
    assert "Nuts" not in sealed and "Good" not in sealed


def test_what_is_required_must_be_there_and_nothing_is_left_behind(event: Event) -> None:
    assert errors_of(register, make_member(), event.pk, [ME]) == ["answers.d"]
    wrong = Given({"d": "Perfect", "f": "Nuts"})
    assert errors_of(register, make_member(), event.pk, [ME], given=wrong) == ["answers.d", "answers.f"]
    long = Given({"d": "Good", "f": "x" * 501}, frozenset("f"))
    assert errors_of(register, make_member(), event.pk, [ME], given=long) == ["answers.f"]
    assert not Registration.objects.exists()


def test_health_needs_a_yes_of_its_own_and_the_moment_is_kept(event: Event) -> None:
    assert errors_of(register, make_member(), event.pk, [ME], given=Given({"d": "Good", "f": "Nuts"})) == [
        "answers.f"
    ]
    row = answered(event)
    assert list(Answers.objects.get(registration=row).agreed) == ["f"]


def test_taking_the_yes_back_forgets_the_answer(event: Event) -> None:
    row = answered(event)
    change_party(row.member, row.pk, [ME], given=Given({"d": "Good", "f": ""}))
    assert set(Answers.objects.get(registration=row).given) == {"d"}


def test_a_change_that_says_nothing_of_answers_keeps_them(event: Event) -> None:
    row = answered(event)
    change_party(row.member, row.pk, [ME, Person("Bo")])
    assert set(Answers.objects.get(registration=row).given) == {"d", "f", "c"}


def test_they_go_with_cancelling_with_the_member_and_14_days_after(clock: Any, event: Event) -> None:
    first, second, third = answered(event), answered(event), answered(event)
    cancel(first.member, first.pk)
    privacy.forget(second.member)
    assert list(Answers.objects.values_list("registration", flat=True)) == [third.pk]
    clock.move_to(event.over_at + timedelta(days=14) - timedelta(seconds=1))
    assert privacy.forget_answers() == 0
    clock.move_to(event.over_at + timedelta(days=14, seconds=1))
    assert privacy.forget_answers() == 1


def test_the_host_and_the_door_read_them_and_nobody_else(host: Any, event: Event) -> None:
    row = answered(event)
    other = answered(event)
    url = f"/events/{event.public_id}/guests/"
    page = make_client(host).get(url).content.decode()
    assert "Nuts" in page and "How is your Dutch?" in page and "Good: 2" in page
    for stranger in (other.member, make_member()):
        assert "Nuts" not in make_client(stranger).get(url).content.decode()
        assert "Nuts" not in make_client(stranger).get(event.get_absolute_url()).content.decode()
        assert make_client(stranger).get(f"/registrations/{row.public_id}/").status_code == 404
    table = make_client(host).get(f"/events/{event.public_id}/guests.csv")
    text = b"".join(table.streaming_content).decode()
    assert "What do you not eat?" in text and "Nuts" in text


def test_the_list_of_guests_costs_two_queries_more_for_any_number(
    host: Any, event: Event, django_assert_num_queries: Any
) -> None:
    client = make_client(host)
    hosting.change(host, event.pk, {"capacity": None})
    for n in (1, 10):
        for _n in range(n):
            answered(event)
        with django_assert_num_queries(10):
            client.get(f"/events/{event.public_id}/guests/")


def test_the_form_asks_and_keeps_what_was_typed(event: Event) -> None:
    client = make_client(make_member())
    page = client.get(event.get_absolute_url()).content.decode()
    assert "How is your Dutch?" in page and "until 14 days after the event" in page
    form = {"me": "on", "answer_d": "Good", "answer_f": "Nuts & <b>bread</b>"}
    refused = client.post(f"/events/{event.public_id}/register/", form)
    text = refused.content.decode()
    assert refused.status_code == 422 and "Nuts &amp; &lt;b&gt;bread&lt;/b&gt;</textarea>" in text
    done = client.post(f"/events/{event.public_id}/register/", form | {"agree_f": "on"})
    assert done.status_code == 302
    row = Registration.objects.get()
    assert Answers.objects.get(registration=row).given == {"d": "Good", "f": "Nuts & <b>bread</b>"}
    mine = client.get(f"/registrations/{row.public_id}/").content.decode()
    assert "Nuts &amp;" in mine, "there to be changed"


def test_a_guest_without_an_account_answers_too(event: Event) -> None:
    form = {"name": "Ida", "email": "ida@example.org", "answer_d": "A little"}
    assert Client().post(f"/events/{event.public_id}/guest/", {**form, "answer_d": ""}).status_code == 422
    assert Client().post(f"/events/{event.public_id}/guest/", form).status_code == 200
    assert Answers.objects.get().given == {"d": "A little"}
    with pytest.raises(ValidationError):
        guests.ask(event.pk, Guest("Bo", "bo@example.org", "en"))


def test_the_editor_writes_questions_and_keeps_their_ids(host: Any, event: Event) -> None:
    client = make_client(host)
    page = client.get(f"{event.get_absolute_url()}edit/").content.decode()
    assert 'value="What do you not eat?"' in page
    start = event.local_start
    form = {
        "title": event.title,
        "language": "en",
        "day": f"{start:%Y-%m-%d}",
        "starts": f"{start:%H:%M}",
        "visibility": "public",
        "scope": "this",
        "version": event.version,
        "question0-id": "f",
        "question0-text": "What do you not eat, and who?",
        "question0-kind": "text",
        "question0-is_sensitive": "on",
        "question1-text": "Which day suits you?",
        "question1-kind": "choice",
        "question1-options": "Monday",
    }
    refused = client.post(f"{event.get_absolute_url()}edit/", form)
    assert refused.status_code == 422
    assert "Question 2: A choice has 2 to 12 answers" in refused.content.decode()
    done = client.post(
        f"{event.get_absolute_url()}edit/", form | {"question1-options": "Monday\nFriday\n\nMonday"}
    )
    assert done.status_code == 302
    event.refresh_from_db()
    asked = questions.of(event)
    assert [(one.id == "f", one.text, one.options) for one in asked] == [
        (True, "What do you not eat, and who?", ()),
        (False, "Which day suits you?", ("Monday", "Friday")),
    ]


def test_a_question_goes_by_a_tick_and_never_by_a_slip(host: Any, event: Event) -> None:
    client, url = make_client(host), f"{event.get_absolute_url()}edit/"
    page = client.get(url)
    form = {
        name: value
        for name, value in page.context["form"].initial.items()
        if value not in (None, False, [], "")
    }
    kept = [one.id for one in questions.of(event)]
    for n, one in enumerate(questions.of(event)):
        form |= {f"question{n}-id": one.id, f"question{n}-text": one.text, f"question{n}-kind": one.kind}
        form |= {f"question{n}-options": "\n".join(one.options)}
    new = f"question{len(kept)}-options"

    for typed, said in (
        ({"question0-text": ""}, "Tick below that this question goes"),
        ({new: "Mild\nHot"}, "Write the question, or empty the rest of it."),
    ):
        refused = client.post(url, form | typed)
        assert refused.status_code == 422 and said in refused.content.decode()
        event.refresh_from_db()
        assert [one.id for one in questions.of(event)] == kept, "nothing is lost"

    assert client.post(url, form | {"question0-is_dropped": "on"}).status_code == 302
    event.refresh_from_db()
    assert [one.id for one in questions.of(event)] == kept[1:]


def test_the_api_asks_and_answers(host: Any) -> None:
    client = Client(headers={"Authorization": f"Bearer {issue_token(host, 't')}"})
    event = make_event(host=host, starts_at=times.now() + timedelta(days=10))
    url = f"/api/v1/events/{event.public_id}/"
    asked = [{"text": "Any allergies?", "is_sensitive": True}, {"text": "Chair?", "kind": "yes"}]
    told = client.patch(url, {"questions": asked}, "application/json", headers={"If-Match": '"1"'}).json()
    first, second = (one["id"] for one in told["questions"])
    party = {"party": [{}], "answers": {first: "Nuts", second: "yes", "unknown": "x"}}
    refused = client.post(f"{url}registrations/", party, "application/json")
    assert (refused.status_code, list(refused.json()["errors"])) == (400, [f"answers.{first}"])
    made = client.post(f"{url}registrations/", party | {"agreed": [first]}, "application/json").json()
    assert made["answers"] == {}, "kept with the Idempotency-Key for a week"
    read = client.get(f"/api/v1/registrations/{made['id']}/").json()
    assert read["answers"] == {first: "Nuts", second: "yes"}
    listed = client.get(f"{url}registrations/").json()["results"]
    assert listed[0]["answers"] == read["answers"]


def test_a_meetup_asks_at_every_date() -> None:
    host = make_host(centre=make_centre())
    start = times.now().replace(tzinfo=None, microsecond=0) + timedelta(days=2)
    plan: Any = {"title": "Table", "language": "en", "starts_at": start, "timezone": "Europe/Brussels"}
    plan["questions"] = questions.written([DUTCH])
    meetup = hosting.publish_series(host, plan, {"rrule": "FREQ=WEEKLY;COUNT=3"})
    assert all(questions.of(event) == [DUTCH] for event in meetup.occurrences.all())


# -- the seal


def test_a_rotated_secret_still_reads_and_seals_anew(event: Event, settings: Any) -> None:
    answered(event)
    old = settings.SECRET_KEY
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = rotation.new_secret(), [old]
    assert Answers.objects.get().given["f"] == "Nuts"
    assert questions.seal_anew() == 1
    settings.SECRET_KEY_FALLBACKS = []
    assert Answers.objects.get().given["f"] == "Nuts"
    assert questions.seal_anew() == 0


def test_what_cannot_be_read_here_is_left_alone_and_breaks_no_page(event: Event, settings: Any) -> None:
    row, old = answered(event), settings.SECRET_KEY
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = rotation.new_secret(), []
    assert Answers.objects.get().given is None
    assert make_client(event.host).get(f"/events/{event.public_id}/guests/").status_code == 200
    assert questions.seal_anew() == 0
    settings.SECRET_KEY_FALLBACKS = [old]  # the other process was right
    assert questions.given_by(row).answers["f"] == "Nuts"
    settings.SECRET_KEY_FALLBACKS = []
    registration.change_party(row.member, row.pk, [ME], given=Given({"d": "Good"}))
    assert Answers.objects.get().given == {"d": "Good"}


def test_a_backup_brings_answers_back_as_they_were(event: Event) -> None:
    answered(event)
    field = Answers._meta.get_field("given")
    (value,) = Answers.objects.values_list("given", flat=True)
    again = archive.value_of(field, json.loads(archive.line_of(value)))
    Answers.objects.update(given=again)
    assert Answers.objects.get().given == {"d": "Good", "f": "Nuts", "c": "yes"}


def test_who_is_only_named_in_a_party_does_not_read_its_answers(event: Event) -> None:
    ana, ben = make_member(), make_member()
    make_household(ana, ben)
    given = Given({"d": "Good", "f": "Nuts"}, frozenset("f"))
    row = register(ana, event.pk, [ME, Person(member_id=ben.pk)], given=given)
    url = f"/api/v1/registrations/{row.public_id}/"
    assert make_client(ana).get(url).json()["answers"] == {"d": "Good", "f": "Nuts"}
    assert make_client(ben).get(url).json()["answers"] == {}


def test_two_seals_of_one_text_differ_and_neither_can_be_changed() -> None:
    field = sealing.SealedJSON()
    one, other = field.get_prep_value({"a": 1}), field.get_prep_value({"a": 1})
    assert one != other
    assert field.from_db_value(one, None, None) == {"a": 1} == json.loads(json.dumps({"a": 1}))
    assert field.from_db_value(one[:-4] + "AAAA", None, None) is None


def test_a_required_question_about_health_does_not_say_that_it_may_stay_empty() -> None:
    for required, words in ((True, "it has to be answered"), (False, "or leave it empty")):
        asked = Question("h", "Any allergies?", is_sensitive=True, is_required=required)
        event = make_event(questions=questions.written([asked]))
        with pytest.raises(ValidationError) as no:
            questions.checked(event, Given({"h": "nuts"}))
        assert words in str(no.value.message_dict["answers.h"])
