"""What a link to an event says to those who show links: schema.org for searching, Open Graph for messages.

Only what anybody may see, signed out; of a draft, or an event for members, there is nothing.
"""

from __future__ import annotations

import html
import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language

from community import texts
from events.models import Event
from events.seats import Places

SCHEMA = "https://schema.org"
FIRST_WORDS, WORDS = 160, 5_000  # characters: of a message, of a search engine
LOCALES = {"en": "en_GB", "nl": "nl_BE", "de": "de_DE", "fr": "fr_BE"}
# In a script element only these could end it or begin another (HTML §13.2.5.4); the two separators end a line of JavaScript.
UNSAFE = str.maketrans({sign: f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"})
BREAK = re.compile(r"</?(?:p|br|li|ul|ol|h\d|hr|pre|blockquote)\b[^>]*>")
TAG = re.compile(r"<[^>]*>")


@dataclass(frozen=True)
class Card:
    """What stands in the head of the page. `json_ld` is the content of a script element that nobody runs."""

    title: str
    words: str
    url: str
    locale: str
    json_ld: SafeString


def card_of(event: Event, places: Places, words: str) -> Card | None:
    """The card of an event that anybody may see, in the language of the page; else None. `words`: its description as
    `plain` says it. No query, one for a series.
    """
    if event.state == Event.State.DRAFT or event.visibility != Event.Visibility.PUBLIC:
        return None
    return Card(
        title=event.text("title"),
        words=shortened(words, FIRST_WORDS),
        url=_url(event),
        locale=LOCALES[(get_language() or "en")[:2]],
        json_ld=_script(_event(event, places, words)),
    )


@lru_cache(maxsize=512)
def plain(markdown: str) -> str:
    """A text as its words, without marks and links: one line."""
    return " ".join(html.unescape(TAG.sub("", BREAK.sub(" ", texts.to_html(markdown)))).split())


def shortened(text: str, most: int) -> str:
    """The first words of a text, no word broken unless it is all there is."""
    if len(text) <= most:
        return text
    cut = text[: most - 1]
    return f"{cut.rpartition(' ')[0] or cut}…"


def _script(content: dict[str, Any]) -> SafeString:
    """JSON that may stand in a script element whatever people wrote in it."""
    return mark_safe(json.dumps(content, ensure_ascii=False).translate(UNSAFE))


def _url(event: Event) -> str:
    return f"{settings.PUBLIC_URL}{event.get_absolute_url()}"


def _event(event: Event, places: Places, words: str) -> dict[str, Any]:
    """schema.org/Event; what nobody knows is left out."""
    said: dict[str, Any] = {
        "@context": SCHEMA,
        "@type": "Event",
        "@id": _url(event),
        "url": _url(event),
        "name": event.text("title"),
        "description": words[:WORDS],
        **_when(event),
        "eventAttendanceMode": f"{SCHEMA}/OfflineEventAttendanceMode",
        "location": _where(event),
        "organizer": {"@type": "Organization", "name": event.centre.name, "email": event.centre.email},
        "inLanguage": event.languages or [event.language],
        "isAccessibleForFree": event.is_free,
        "typicalAgeRange": _ages(event),
        "maximumAttendeeCapacity": places.capacity,
        "remainingAttendeeCapacity": None if places.left is None else max(0, places.left),
        "offers": _offer(event, places),
        "superEvent": {"@type": "EventSeries", "name": event.series.text("title")} if event.series else None,
    }
    return {name: value for name, value in said.items() if value not in (None, "", {})}


def _ages(event: Event) -> str:
    """schema.org's typicalAgeRange: from-to, `18-` for adults; empty where any child may come."""
    if event.min_age is None and event.max_age is None:
        return ""
    return f"{event.min_age or 0}-{'' if event.max_age is None else event.max_age}"


def _when(event: Event) -> dict[str, Any]:
    """Begin and end on the event's own clock; of whole days the days. What it was before, where it was moved."""
    start, end, before = event.local_start, event.local_end, event.previous_start
    if event.all_day:
        last = event.last_day
        times = {"startDate": start and start.date().isoformat(), "endDate": last and last.date().isoformat()}
    else:
        times = {"startDate": start and start.isoformat(), "endDate": end and end.isoformat()}
    if event.state == Event.State.CANCELLED:
        status = "EventCancelled"
    elif before is not None:
        status = "EventRescheduled"
        old = before.astimezone(event.zone)
        times["previousStartDate"] = old.date().isoformat() if event.all_day else old.isoformat()
    else:
        status = "EventScheduled"
    return times | {"eventStatus": f"{SCHEMA}/{status}"}


def _where(event: Event) -> dict[str, Any]:
    town = event.place.name if event.place else event.town
    address = {
        "streetAddress": event.address,
        "addressLocality": town,
        "addressCountry": event.place.country if event.place else "",
    }
    known = {name: value for name, value in address.items() if value}
    name = event.venue or town
    if not name:
        return {}
    return {
        "@type": "Place",
        "name": name,
        **({"address": {"@type": "PostalAddress", **known}} if known else {}),
    }


def _offer(event: Event, places: Places) -> dict[str, Any]:
    """How to come: nothing is sold here. What it costs on the spot is said in words, so there is no number of it."""
    if event.state == Event.State.CANCELLED or event.is_over:
        return {}
    offer = {
        "@type": "Offer",
        "url": _url(event),
        "availability": f"{SCHEMA}/{'SoldOut' if places.left is not None and places.left <= 0 else 'InStock'}",
    }
    if event.is_free:
        return offer | {"price": "0", "priceCurrency": "EUR"}
    return offer | ({"description": event.price} if event.price else {})
