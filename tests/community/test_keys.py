"""Keys for programs: shown once, each for itself, and what a revoked one opens."""

import re

import pytest
from django.core.exceptions import ValidationError
from django.test import Client

from community import sign_ins
from community.models import ApiToken
from tests import factories as make

pytestmark = pytest.mark.django_db


def test_a_key_is_shown_once_and_works_until_it_is_revoked():
    member = make.make_member()
    browser = make.make_client(member)
    shown = re.search(
        r'value="(ec_[^"]+)"', browser.post("/me/keys/", {"name": "Newsletter"}).content.decode()
    )
    assert shown
    program = Client(HTTP_AUTHORIZATION=f"Bearer {shown[1]}")
    assert program.get("/api/v1/me/").status_code == 200
    page = browser.get("/me/keys/").content.decode()
    assert "Newsletter" in page
    assert shown[1] not in page
    assert not ApiToken.objects.filter(digest__contains=shown[1]).exists()
    assert browser.post("/me/keys/", {"revoke": ApiToken.objects.get().pk}).status_code == 302
    assert program.get("/api/v1/me/").status_code == 401


def test_nobody_revokes_anothers_key():
    key = sign_ins.issue_token(make.make_member(), "x")
    row = ApiToken.objects.get()
    make.make_client(make.make_member()).post("/me/keys/", {"revoke": row.pk})
    assert sign_ins.member_for_token(key)


def test_a_key_needs_to_say_what_it_is_for():
    member = make.make_member()
    with pytest.raises(ValidationError):
        sign_ins.issue_token(member, " ")
    answer = make.make_client(member).post("/me/keys/", {"name": " "})
    assert "ec_" not in answer.content.decode()
    assert not ApiToken.objects.exists()


def test_a_key_is_given_only_after_showing_oneself():
    answer = make.make_client(make.make_member(), minutes_ago=11).post("/me/keys/", {"name": "x"})
    assert answer["Location"].startswith("/accounts/reauthenticate/code/")
    assert not ApiToken.objects.exists()
