"""The pages of the door: the scanner, the host's board and list, pairing, helpers."""

import csv
import io
import re
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse

from community import audit
from events import board, checkin, gates
from events.checkin import DeviceClock
from events.models import DoorHelper, Gate, GatePairing, Scan
from realtime.clock import now
from realtime.models import Entry
from tests.events.doors import code, gate, open_event, party, reading
from tests.factories import make_centre, make_event, make_member, make_staff

pytestmark = pytest.mark.django_db


@pytest.fixture
def event():
    return open_event()


@pytest.fixture
def host(client, event):
    client.force_login(event.host)
    return client


def page(name, event):
    return reverse(name, args=[event.pk])


def button(text, action, nth=0):
    """What the nth button of that action would send, with the form's own fields."""
    found = re.findall(rf'name="do" value="({action}:[^"]+)"', text)
    form = re.search(r'name="form" value="([^"]+)"', text)
    return {"do": found[nth], "form": form[1]}


# Who may


@pytest.mark.parametrize("name", ["door", "guests"])
def test_the_door_is_for_host_staff_and_helpers(client, event, name):
    helper = make_member()
    DoorHelper.objects.create(event=event, member=helper)
    people = [event.host, make_staff(event.centre), helper, make_member(), make_staff(make_centre())]
    codes = []
    for person in people:
        client.force_login(person)
        codes.append(client.get(page(name, event)).status_code)

    assert codes == [200, 200, 200, 403, 403]
    client.logout()
    assert client.get(page(name, event)).status_code == 302


def test_a_hidden_event_has_no_door(client, event):
    event.visibility = "centre"
    event.save()
    client.force_login(make_member())

    assert client.get(page("door", event)).status_code == 404


def test_a_helper_sees_the_list_and_not_who_else_helps(client, event):
    helper = make_member(centre=event.centre)
    gates.name_helper(event.host, event.pk, helper.email)
    client.force_login(helper)
    text = client.get(page("guests", event)).text

    assert "Show a pairing code" not in text
    assert client.post(page("door_pairing", event)).status_code == 403
    assert client.post(page("door_helpers", event), {"who": helper.email}).status_code == 403


# The scanner


def test_the_scanner_says_that_it_needs_javascript_and_where_the_list_is(host, event):
    text = host.get(page("door", event)).text
    noscript = re.search(r"<noscript>(.*?)</noscript>", text, re.DOTALL)[1]

    assert "Scanning needs JavaScript." in noscript
    assert page("guests", event) in noscript


def test_the_scanner_has_all_its_words_in_the_language_of_the_page(host, event):
    text = host.get(page("door", event)).text

    assert '"not_yet": "The doors are not open yet."' in text
    assert "style=" not in text
    assert " on" + "click" not in text


def test_a_phone_without_an_account_opens_the_gate_page(client):
    answer = client.get("/gate/")

    assert answer.status_code == 200
    assert "no-store" in answer.headers["Cache-Control"]
    assert "csrf" not in answer.text.partition('id="door-settings"')[2].partition("</script>")[0]


# The list


def test_the_list_lets_a_party_in_without_any_script(host, event):
    party(event, "Emma", "Mia")
    text = host.get(page("guests", event)).text
    answer = host.post(page("guests_scan", event), button(text, "in"), follow=True)

    assert "0 of 1 party<" in text and "1 of 1 party<" in answer.text
    assert "Let in: " in answer.text
    assert re.search(r"data-arrived>2<", answer.text)
    assert board.board(event).arrived == 2


def test_one_person_of_a_party_may_come_first_and_be_undone(host, event):
    party(event, "Emma", "Mia")
    text = host.get(page("guests", event)).text
    host.post(page("guests_scan", event), button(text, "in", nth=2))
    assert [scan.slots for scan in Scan.objects.all()] == [0b10]

    text = host.get(page("guests", event)).text
    host.post(page("guests_scan", event), button(text, "undo"))
    assert board.board(event).arrived == 0


def test_who_left_is_not_inside(host, event):
    party(event)
    text = host.get(page("guests", event)).text
    host.post(page("guests_scan", event), button(text, "in"))
    text = host.get(page("guests", event)).text
    answer = host.post(page("guests_scan", event), button(text, "out"), follow=True)

    assert "left again" in answer.text
    assert (board.board(event).arrived, board.board(event).inside) == (1, 0)


def test_the_same_form_sent_twice_counts_once(host, event):
    party(event)
    sent = button(host.get(page("guests", event)).text, "in")
    for _ in range(2):
        host.post(page("guests_scan", event), sent)

    assert Scan.objects.count() == 1
    assert board.board(event).inside == 1


@pytest.mark.parametrize(
    "do",
    [
        "",
        "in:",
        "in:aaaaaaaaaaaaa.1",
        "in:x.y",
        "undo:x",
        "out:x",
        "fly:x.1",
        "in:aaaaaaaaaaaaa.99999999999999999999",
    ],
)
def test_what_no_button_sends_is_not_there(host, event, do):
    assert host.post(page("guests_scan", event), {"do": do}).status_code == 404
    assert Scan.objects.count() == 0


def test_a_party_of_another_event_is_not_there(host, event):
    other = party(open_event())

    assert host.post(page("guests_scan", event), {"do": f"in:{other.public_id}.1"}).status_code == 404


def test_before_the_doors_open_the_host_lets_in_by_exception_and_a_helper_does_not(client):
    event = make_event(starts_at=now() + timedelta(days=1))
    helper = make_member()
    DoorHelper.objects.create(event=event, member=helper)
    party(event)
    client.force_login(helper)
    text = client.get(page("guests", event)).text
    assert (
        "The doors are not open yet."
        in client.post(page("guests_scan", event), button(text, "in"), follow=True).text
    )

    client.force_login(event.host)
    text = client.get(page("guests", event)).text
    assert "written down as an exception" in text
    client.post(page("guests_scan", event), button(text, "in"))
    assert list(Scan.objects.order_by("order").values_list("is_forced", "is_refused")) == [
        (False, True),
        (True, False),
    ]


def test_the_list_is_searched_by_any_name_of_the_party(host, event):
    party(event, "Emma", "Mia")
    party(event, "Ada", "Karel")
    text = host.get(page("guests", event) + "?q=kar").text

    assert "Karel" in text
    assert "Mia" not in text
    assert "Nobody of that name" in host.get(page("guests", event) + "?q=zzz").text


def test_the_board_alone_for_the_live_page(host, event):
    party(event, "Emma", "Mia")
    text = host.get(page("guests", event) + "?part=board").text

    assert text.lstrip().startswith('<div id="board"')
    assert f'data-live-topic="door:{event.public_id}"' in text
    assert "<html" not in text


@pytest.mark.parametrize("size", [1, 30])
def test_the_list_costs_eight_queries_for_one_party_and_thirty(host, event, size, django_assert_num_queries):
    for _ in range(size):
        row = party(event, "Emma", "Mia")
        host.post(page("guests_scan", event), {"do": f"in:{row.public_id}.1", "form": "x"})
        gate(event, f"Phone {row.pk}")
        DoorHelper.objects.create(event=event, member=make_member())
    with django_assert_num_queries(8):
        host.get(page("guests", event))


# Helpers and phones


def test_a_helper_is_named_by_address_or_by_the_name_of_somebody_who_comes(host, event):
    coming = make_member(display_name="Ada")
    elsewhere = make_member(display_name="Grace", centre=event.centre)
    party(event, member=coming)

    host.post(page("door_helpers", event), {"who": " ada "})
    host.post(page("door_helpers", event), {"who": elsewhere.email.upper()})
    host.post(page("door_helpers", event), {"who": elsewhere.email})
    assert {helper.member for helper in DoorHelper.objects.filter(event=event)} == {coming, elsewhere}


def test_nobody_by_that_name_keeps_what_was_typed(host, event):
    make_member(display_name="Grace")
    answer = host.post(page("door_helpers", event), {"who": "Grace"})

    assert answer.status_code == 400
    assert 'value="Grace"' in answer.text
    assert "We found nobody" in answer.text
    assert not DoorHelper.objects.exists()


def test_a_helper_is_thanked(host, event):
    helper = gates.name_helper(event.host, event.pk, make_member(centre=event.centre).email)
    host.post(page("door_helpers", event), {"remove": helper.pk})

    assert not DoorHelper.objects.exists()


def test_the_pairing_code_is_shown_as_a_qr_and_only_its_digest_kept(host, event):
    answer = host.post(page("door_pairing", event))
    url = re.search(r'href="([^"]+/gate/#[^"]+)"', answer.text)[1]

    assert '<svg role="img" aria-label="QR code to pair a phone"' in answer.text
    assert url.partition("#")[2] not in str(GatePairing.objects.values())
    assert "no-store" in answer.headers["Cache-Control"]
    assert gates.open_gate(url.partition("#")[2])[0].event == event


def test_with_htmx_only_the_panel_comes(host, event):
    answer = host.post(page("door_pairing", event), headers={"HX-Request": "true"})

    assert answer.text.lstrip().startswith('<div id="pairing"')


def test_a_phone_is_disconnected(host, event):
    phone = gate(event)
    host.post(page("gate_close", event), {"gate": phone.public_id})

    assert Gate.objects.get().closed_at
    assert host.post(page("gate_close", event), {"gate": "?"}).status_code == 404


# The ticket


def test_the_ticket_shows_its_qr_and_its_code(client, event):
    row = party(event, "Emma", "Mia")
    client.force_login(row.member)
    text = client.get(reverse("registration", args=[row.pk])).text

    assert '<svg role="img" aria-label="QR code of your ticket"' in text
    assert code(row) in text
    assert "Mia" in text


def test_the_guest_list_comes_as_a_table_for_who_hosts_and_nobody_else(client):
    event = open_event()
    row = party(event, "Ana", "=cmd|' /C calc'!A0")
    checkin.record(gate(event), [reading(code(row), slots=1)], DeviceClock(0))
    path = f"/events/{event.public_id}/guests.csv"

    assert client.get(path).status_code == 302
    for reader, status in ((row.member, 403), (make_member(), 403), (event.host, 200)):
        client.force_login(reader)
        answer = client.get(path)
        assert answer.status_code == status
    table = b"".join(answer.streaming_content).decode("utf-8-sig")
    head, first, second = csv.reader(io.StringIO(table))
    assert head == ["Party", "Name", "Child", "Payment", "Arrived", "Gate", "Age", "Waiting"]
    assert first[:4] == [str(row.member), str(row.member), "", ""] and first[5] == "Front"
    assert second == [str(row.member), "'=cmd|' /C calc'!A0", "", "", "", "", "", ""]
    assert (answer["Content-Type"], answer["Cache-Control"]) == (
        "text/csv; charset=utf-8",
        "max-age=0, no-cache, no-store, must-revalidate, private",
    )
    assert f"guests-{event.public_id}.csv" in answer["Content-Disposition"]
    assert 'guests.csv"' in client.get(f"/events/{event.public_id}/guests/").text


def test_a_host_does_not_find_out_by_asking_who_has_an_account():
    event = make_event()
    stranger, here = make_member(), make_member(centre=event.centre)
    for email in (stranger.email, "nobody@example.org"):
        with pytest.raises(ValidationError, match="We found nobody"):
            gates.name_helper(event.host, event.pk, email)
    assert gates.name_helper(event.host, event.pk, here.email).member == here
    assert gates.name_helper(make_staff(event.centre), event.pk, stranger.email).member == stranger


def test_who_helped_at_a_door_hears_no_more_of_it_and_both_are_on_record():
    event = make_event()
    helper = make_member(centre=event.centre)
    named = gates.name_helper(event.host, event.pk, helper.email)
    gates.dismiss_helper(event.host, event.pk, named.pk)
    gates.dismiss_helper(event.host, event.pk, named.pk)
    assert Entry.objects.get(kind=Entry.Kind.SIGN_OUT).author == helper
    told = audit.about(helper).filter(actor=event.host).values_list("action", flat=True)
    assert list(told) == ["role_withdrawn", "role_granted"]
