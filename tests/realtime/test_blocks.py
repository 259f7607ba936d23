"""Two who blocked each other: what is stored, and what every hub is told."""

import pytest

from realtime import blocks, rooms
from realtime.models import Block, Entry
from tests.factories import make_member

pytestmark = pytest.mark.django_db


def test_a_block_counts_for_both_and_is_told_once():
    ana, bo, cleo = make_member(), make_member(), make_member()

    assert blocks.block(ana, bo.pk)
    assert not blocks.block(ana, bo.pk)

    assert blocks.unheard_by([ana.pk, bo.pk, cleo.pk]) == {
        ana.pk: frozenset({bo.pk}),
        bo.pk: frozenset({ana.pk}),
        cleo.pk: frozenset(),
    }
    assert blocks.are_apart(bo.pk, ana.pk)
    assert not blocks.are_apart(cleo.pk, ana.pk)
    told = Entry.objects.filter(room=rooms.control(), kind=Entry.Kind.BLOCK)
    assert [(entry.author_id, entry.text, entry.on) for entry in told] == [(ana.pk, f"{bo.pk} 0", True)]


def test_of_two_blocks_one_may_go_and_the_other_holds():
    ana, bo = make_member(), make_member()
    blocks.block(ana, bo.pk)
    blocks.block(bo, ana.pk)

    assert blocks.unblock(ana, bo.pk)
    assert not blocks.unblock(ana, bo.pk)

    assert blocks.are_apart(ana.pk, bo.pk)
    assert [row.blocked for row in blocks.of(bo)] == [ana]
    assert not blocks.of(ana)


def test_nobody_blocks_themselves():
    ana = make_member()

    with pytest.raises(ValueError, match="themselves"):
        blocks.block(ana, ana.pk)
    assert not Block.objects.exists()
