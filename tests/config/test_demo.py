"""The demo region: complete, believable to the rules, and the same when it is loaded twice."""

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db.models import Count, F, Q

from community.models import Circle, Household, Member, Role
from config.demo_people import ORDER
from events import hosting, undoing
from events.models import Event, Pool, Registration
from events.registration import Person, register
from realtime import clock
from realtime.models import Entry, Room
from tests.factories import make_event, make_member


def everything():
    models = (Member, Household, Circle, Role, Event, Registration, Entry, Room)
    return {model.__name__: model.objects.count() for model in models}


@pytest.mark.django_db
def test_the_region_lives_loading_it_again_adds_nothing_and_a_crowd_has_its_size(client, settings):
    settings.DEMO = True
    call_command("demo", quiet=True)
    first = everything()

    assert first["Member"] >= 55
    assert first["Circle"] == 14
    assert first["Event"] >= 75
    assert first["Registration"] >= 150
    assert Entry.objects.filter(kind=Entry.Kind.MESSAGE).count() >= 300
    assert set(Member.objects.values_list("language", flat=True)) == {"en", "nl", "de", "fr"}
    for room in Room.objects.all():  # every log is dense
        rows = room.entries.aggregate(rows=Count("pk"), messages=Count("pk", filter=Q(kind="message")))
        assert (rows["rows"], rows["messages"]) == (room.head, room.n)
    assert not Pool.objects.filter(taken__gt=F("capacity")).exists()

    call_command("demo", quiet=True)
    assert everything() == first

    page = client.get("/demo/")
    assert [person.key for person in page.context["people"]] == list(ORDER)
    for key in ORDER:
        assert client.post("/demo/", {"person": key}).status_code == 302
        assert client.get("/").context["nav"] == "today"

    # A crowd comes on top of it, in the size that was asked for: loading the region a third time would cost the most.
    call_command("demo", quiet=True, members=300, events=200, messages=600)
    assert (Member.objects.count(), Event.objects.count()) == (300, 200)
    assert Entry.objects.filter(kind=Entry.Kind.MESSAGE).count() == 600
    room = Room.objects.filter(kind=Room.Kind.CIRCLE).order_by("-head").first()
    assert room.entries.count() == room.head


@pytest.mark.django_db
def test_without_demo_there_is_no_such_page(client, settings):
    settings.DEMO = False
    assert client.get("/demo/").status_code == 404
    assert client.post("/demo/", {"person": "member"}).status_code == 404
    assert client.get("/demo/mail/").status_code == 404


@pytest.mark.django_db
def test_the_demos_mailbox_has_no_mail_that_is_held_back_or_never_left(client, settings):
    settings.DEMO = True
    event = make_event(starts_at=clock.now() + timedelta(days=9))
    row = register(make_member(), event.pk, [Person()])
    hosting.call_off(event.host, event.pk)
    url = f"/demo/mail/?to={row.member.email}"
    assert [mail.kind for mail in client.get(url).context["mails"]] == ["event_registered"]
    undoing.restore(event.host, event.pk)
    assert [mail.kind for mail in client.get(url).context["mails"]] == ["event_registered"]
