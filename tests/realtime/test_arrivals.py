"""Who stands behind a handshake: asked for many at once, and right for each."""

from typing import Any

import pytest
from django.contrib.sessions.models import Session

from community import sign_ins
from community.models import ApiToken
from config.sockets import members_of_sessions
from tests.factories import make_member

from .sockets import session_of

pytestmark = pytest.mark.django_db


def test_the_sessions_of_many_are_found_with_two_queries(django_assert_num_queries: Any):
    members = [make_member() for _ in range(5)]
    keys = [session_of(member) for member in members]

    with django_assert_num_queries(2):
        assert members_of_sessions(keys) == members


def test_among_many_nobody_comes_in_by_a_session_that_has_ended():
    ana, off, ended, gone, over = (make_member() for _ in range(5))
    keys = [session_of(member) for member in (ana, off, ended, gone, over)]
    type(off).objects.filter(pk=off.pk).update(is_active=False)
    sign_ins.end_all(ended, "all devices")
    Session.objects.filter(pk=keys[3]).delete()
    Session.objects.filter(pk=keys[4]).update(expire_date="2020-01-01T00:00:00+00:00")

    assert members_of_sessions([*keys, "made up"]) == [ana, None, None, None, None, None]


def test_a_session_of_another_sign_in_does_not_open_with_this_one_beside_it():
    """The hash in a session is its own member's: that of a neighbour in the same question does not count."""
    ana, bo = make_member(), make_member()
    anas, bos = session_of(ana), session_of(bo)
    sign_ins.end_all(bo, "all devices")
    again = session_of(type(bo).objects.get(pk=bo.pk))

    assert members_of_sessions([anas, bos, again]) == [ana, None, bo]


def test_a_session_by_an_older_secret_key_still_opens(settings: Any):
    ana, bo = make_member(), make_member()
    older = session_of(ana)
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "a newer key, as after a rotation"  # noqa: S105
    newer = session_of(bo)

    assert members_of_sessions([older, newer]) == [ana, bo]
    settings.SECRET_KEY_FALLBACKS = []
    assert members_of_sessions([older, newer]) == [None, bo]


def test_the_tokens_of_many_are_found_with_one_query(django_assert_num_queries: Any):
    ana, bo, off = make_member(), make_member(), make_member()
    digests = [ApiToken.digest_of(sign_ins.issue_token(member, "test")) for member in (ana, bo, off)]
    type(off).objects.filter(pk=off.pk).update(is_active=False)

    with django_assert_num_queries(1):
        assert sign_ins.members_for_digests([*digests, "made up"]) == [ana, bo, None, None]
