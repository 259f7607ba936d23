"""Hiding a message of somebody else: who looks after the room, with a reason, and the author is told."""

from typing import Any
from uuid import uuid4

import pytest
from django.core.exceptions import PermissionDenied, ValidationError

from community.models import Member
from realtime import chat
from realtime.models import Entry, Mail, Room
from tests import factories as make

pytestmark = pytest.mark.django_db


def said(author: Member, room: Room, text: str = "A rude word") -> Entry:
    return chat.post(author, room.pk, text, uuid4())[0]


def circle() -> tuple[Any, Member, Member]:
    host, member = make.make_host(), make.make_member(language="nl")
    return make.make_circle(member, host=host), host, member


def test_a_host_hides_a_message_its_words_are_gone_and_the_author_is_told_why():
    where, host, member = circle()
    message = said(member, where.room)
    entry, _known = chat.hide(host, where.room.pk, message.seq, uuid4(), " Not kind ")
    message = Entry.objects.get(room=where.room, seq=message.seq)
    assert message.text == ""
    assert message.removed_at is not None
    assert (entry.kind, entry.author, entry.reason) == ("delete", host, "Not kind")
    mail = Mail.objects.get()
    assert (mail.to, mail.language) == (member.email, "nl")
    assert "Not kind" in mail.text
    assert "rude" not in mail.text


def test_the_same_key_hides_once():
    where, host, member = circle()
    message, key = said(member, where.room), uuid4()
    first, _known = chat.hide(host, where.room.pk, message.seq, key, "Not kind")
    again, known = chat.hide(host, where.room.pk, message.seq, key, "Not kind")
    assert (again.seq, known) == (first.seq, True)
    assert Mail.objects.count() == 1


def test_nobody_else_in_the_room_hides_and_nobody_outside_finds_it():
    where, host, member = circle()
    message = said(host, where.room)
    with pytest.raises(PermissionDenied):
        chat.hide(member, where.room.pk, message.seq, uuid4(), "I dislike it")
    for outsider in (make.make_host(), make.make_manager()):
        with pytest.raises(Room.DoesNotExist):
            chat.hide(outsider, where.room.pk, message.seq, uuid4(), "x")


def test_staff_in_the_room_hide_too():
    staff, member = make.make_staff(), make.make_member()
    where = make.make_circle(member, staff)
    chat.hide(staff, where.room.pk, said(member, where.room).seq, uuid4(), "Not kind")
    assert Mail.objects.get().to == member.email


def test_who_runs_an_event_hides_in_its_room():
    event = make.make_event()
    guest = make.make_registration(event).member
    event.refresh_from_db()
    assert guest and event.room
    message = said(guest, event.room)
    with pytest.raises(PermissionDenied):
        chat.hide(guest, event.room.pk, message.seq, uuid4(), "x")
    Mail.objects.all().delete()
    chat.hide(event.host, event.room.pk, message.seq, uuid4(), "Not kind")
    assert Mail.objects.get().to == guest.email


def test_without_a_reason_nothing_happens():
    where, host, member = circle()
    message = said(member, where.room)
    with pytest.raises(ValidationError, match="Say why"):
        chat.hide(host, where.room.pk, message.seq, uuid4(), "  ")
    with pytest.raises(ValidationError, match="200 characters"):
        chat.hide(host, where.room.pk, message.seq, uuid4(), "x" * 201)
    message = Entry.objects.get(room=where.room, seq=message.seq)
    assert message.text == "A rude word"


def test_the_page_asks_first_and_members_have_no_such_page():
    where, host, member = circle()
    message = said(member, where.room)
    page = f"/chat/{where.room.public_id}/{message.seq}/hide/"
    client = make.make_client(host)
    assert f'href="{page}"' in client.get(f"/chat/{where.room.public_id}/").content.decode()
    assert "A rude word" in client.get(page).content.decode()
    assert client.post(page, {"key": str(uuid4()), "reason": ""}).status_code == 400
    assert client.post(page, {"key": str(uuid4()), "reason": "Not kind"}).status_code == 302
    assert client.get(page).status_code == 404
    other = said(host, where.room)
    browser = make.make_client(member)
    page = f"/chat/{where.room.public_id}/{other.seq}/hide/"
    assert "hide/" not in browser.get(f"/chat/{where.room.public_id}/").content.decode()
    assert browser.get(page).status_code == 403
