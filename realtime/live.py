"""Everything live that is not talk: a topic and a small state, or a hint to fetch a page again.

The floors above say in their AppConfig.ready() which topics there are and who may follow them. A word on a
topic is never the only copy of anything.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from django.db import transaction

from realtime import bus, frames

CHANNEL = "circles:live:"

type MayFollow = Callable[[Any, str], bool]

_rules: dict[str, MayFollow] = {}


def register(prefix: str, may_follow: MayFollow) -> None:
    """Open the topics `<prefix>:<name>`. `may_follow(member, topic)` gets the whole topic and may query."""
    _rules[prefix.rstrip(":")] = may_follow


def publish(topic: str, data: dict[str, Any]) -> None:
    """Tell who follows the topic, once this transaction is committed. No query; losing it harms nothing."""
    word = frames.dumps({"type": "live", "topic": topic, "data": data})
    transaction.on_commit(partial(bus.publish, {CHANNEL + topic: word}), robust=True)


def may_follow(member: Any, topic: str) -> bool:
    """Whether the member may hear the topic. Unknown topics: no. Costs what the floor's own rule costs."""
    prefix, colon, name = topic.partition(":")
    rule = _rules.get(prefix)
    return bool(colon and name and rule is not None and rule(member, topic))
