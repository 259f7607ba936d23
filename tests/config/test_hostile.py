"""Hostile input at every door of the house: never a 5xx, nothing is changed by it that should not be, text comes back exactly.

The doors are found in the code: addresses in the URL configuration, parameters where views read them, fields in the
form and serializer classes, operations in the API's description. A kind of door that is new fails here first.
"""

import contextlib
import json
import re
import unicodedata
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from allauth.core.context import request_context
from django import forms
from django.core.cache import cache
from django.db import transaction
from django.test import Client, RequestFactory
from django.urls import URLPattern, URLResolver, get_resolver
from drf_spectacular.generators import SchemaGenerator
from rest_framework import serializers

from community import members
from community.forms import (
    ChannelsForm,
    ChildForm,
    CircleForm,
    CirclesFilter,
    InterestsForm,
    InviteForm,
    JoinForm,
    KeyForm,
    LanguagesForm,
    NameForm,
    ProfileForm,
    TownsForm,
    WithTowns,
)
from config.accounts import JoinAgainForm
from config.locks import LoginCodeForm, OnceMoreForm, SecondStepForm, SignUpCodeForm
from events import hosting, imports
from events.cohost_views import CoHostForm
from events.desk_views import AddressForm, CalendarForm, GrantForm, NewerFileForm
from events.door_views import HelperForm
from events.forms import (
    AnswerForm,
    AskForm,
    ByHandForm,
    ByNameForm,
    CallOffForm,
    GuestForm,
    LetterForm,
    LinkForm,
    OthersForm,
    PartyForm,
    SearchForm,
)
from events.host_forms import EndForm, EventForm
from events.invitation_views import InvitationForm
from events.question_forms import AnswersForm, QuestionRow
from events.ticket_forms import TypeRow
from events.when_form import RuleForm, WhenForm
from realtime import chat, ids
from tests.config.small_region import Region, make_region
from tests.hostile import IMPOSSIBLE, all_texts, raw_bytes
from tests.test_house import ROOT

pytestmark = pytest.mark.django_db

OURS = ("community", "events", "realtime", "config")
HEADERS = (
    *("Accept", "Accept-Language", "Authorization", "Content-Type", "Cookie", "Host", "HX-Current-URL"),
    *("HX-Request", "HX-Target", "HX-Trigger", "Idempotency-Key", "If-Match", "If-None-Match", "Origin"),
    *(
        "Referer",
        "User-Agent",
        "X-CSRFToken",
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-HTTP-Method-Override",
    ),
)


@pytest.fixture
def region(db: Any) -> Region:
    return make_region()


@pytest.fixture
def manager(region: Region) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(region.manager)
    return client


def turning(names: list[str], count: int | None = None) -> Iterator[dict[str, str]]:
    """Every name with a text each time, another one each time; as often as there are texts, or `count` times."""
    texts = all_texts()
    step = max(1, len(texts) // max(1, count or len(texts)))
    for turn in range(count or len(texts)):
        yield {name: texts[(turn * step + 7 * place) % len(texts)] for place, name in enumerate(names)}


def subclasses(base: type) -> set[type]:
    below = {one for child in base.__subclasses__() for one in {child, *subclasses(child)}}
    return {one for one in below if one.__module__.split(".")[0] in OURS}


def parameters() -> list[str]:
    """The names that pages read from a query: where a view asks for one, and the fields of every form."""
    read = {
        name
        for folder in ("community", "events", "realtime", "platform/config")
        for file in (ROOT / folder).rglob("*.py")
        for name in re.findall(r'(?:GET|POST|query_params)\.get\("(\w+)"', file.read_text())
    }
    fields = {name for form in subclasses(forms.Form) for name in form.base_fields}  # type: ignore[attr-defined]
    return sorted(read | fields)


def addresses(region: Region) -> list[str]:
    """Every address of every page, its places filled with what is there. Fails for a kind of place that is new."""
    known = {
        **{word: ids.encode(pk) for word, pk in region.known.items()},
        "me": ids.encode(region.member.pk),
        "calendar": "x",
        "chat": ids.encode(region.room.pk),
        "people": ids.encode(region.member.pk),
        "tickets": ids.encode(region.registrations[0].pk),
        "calendars": ids.encode(region.calendar.pk),
    }
    slugs = {"circles": region.circle.slug, "centres": region.centre.slug}
    found = []
    for pattern in _patterns(get_resolver()):
        if pattern.startswith(("api/", "accounts/", "static/")):
            continue
        words = pattern.split("/")

        def fill(match: re.Match[str], words: list[str] = words) -> str:
            before = words[words.index(match[0]) - 1] if match[0] in words else words[0]
            return {
                "id:pk": known.get(before, known.get(words[0], "")),
                "id:member_id": ids.encode(region.member.pk),
                "slug:answer": "accept",
                "slug:slug": slugs.get(words[0], region.centre.slug),
                "int:step": "1",
                "int:seq": "1",
                "str:token": "x",
            }[match[1]]

        found.append("/" + re.sub(r"<([^>]+)>", fill, pattern))
    return found


def _patterns(resolver: URLResolver, before: str = "") -> Iterator[str]:
    for entry in resolver.url_patterns:
        path = before + str(entry.pattern).removeprefix("^")
        if isinstance(entry, URLPattern):
            yield path
        else:
            yield from _patterns(entry, path)


def calm(answer: Any, what: Any) -> None:
    cache.clear()  # no limit of so many a minute shall answer instead of a door
    assert answer.status_code != 429, what
    assert answer.status_code < 500, (what, answer.content[:300])


# Pages


def test_no_query_of_any_page_breaks_it(region: Region, manager: Client):
    names = parameters()
    assert {"q", "town", "page", "key", "invitation", "field"} <= set(names)
    for path in addresses(region):
        for query in turning(names, 3):
            with transaction.atomic():
                calm(manager.get(path, query), (path, query))
                transaction.set_rollback(True)


@pytest.mark.parametrize("path", ["/events/", "/circles/", "/places/suggest/"])
def test_no_text_breaks_a_search(path: str, manager: Client):
    names = parameters()
    for query in turning(names, 60):
        calm(manager.get(path, query), query)


def test_no_form_of_any_page_breaks_it(region: Region, manager: Client):
    names = [*parameters(), "name", "do", "form", "adults", "children", "languages", "interests", "party"]
    for path in addresses(region):
        for body in turning(names, 3):
            with transaction.atomic():
                calm(manager.post(path, body), (path, body))
                transaction.set_rollback(True)


def test_no_path_breaks_the_house(manager: Client, region: Region):
    roots = ("/events/{}/", "/calendar/{}.ics", "/circles/{}.ics", "/api/v1/rooms/{}/", "/{}")
    for turn, text in enumerate(all_texts()):
        path = roots[turn % len(roots)].format(quote(text, safe=""))
        calm(manager.get(path), path)
    for raw in raw_bytes():
        calm(manager.get("/events/" + quote(raw) + "/"), raw)


def test_no_header_breaks_a_page_or_the_api(manager: Client, region: Region):
    for turn, given in enumerate(turning(list(HEADERS), 140)):
        headers = {name: text.encode().decode("latin-1") for name, text in given.items()}
        if turn % 7:
            del headers["Host"]
        if turn % 3:
            del headers["Cookie"]
        for path in ("/events/", "/api/v1/events/"):
            calm(manager.get(path, headers=headers), headers)
        calm(manager.post("/api/v1/events/", "{}", content_type="application/json", headers=headers), headers)


def test_what_no_text_can_hold_is_refused(manager: Client, region: Region):
    room = f"/api/v1/rooms/{region.room.public_id}/entries/"
    headers = region.headers("member")
    for text in IMPOSSIBLE:
        body = json.dumps({"key": str(uuid4()), "text": text})
        answer = Client(headers=headers).post(room, body, content_type="application/json")
        assert answer.status_code == 400, text[:20]
        calm(manager.get("/events/", {"q": text.encode("utf-8", "replace")}), text[:20])
        calm(manager.post("/me/profile/", {"display_name": text.encode("utf-8", "surrogatepass")}), text[:20])


# Forms and shapes


def form_makers(region: Region) -> dict[type, Any]:
    """How to fill each form; a form that is not here has nobody who tries it."""
    plain = (
        *(JoinForm, NameForm, LanguagesForm, TownsForm, WithTowns, InterestsForm, ProfileForm, InviteForm),
        *(
            ChildForm,
            CircleForm,
            CallOffForm,
            EndForm,
            AnswerForm,
            AskForm,
            CoHostForm,
            LetterForm,
            LinkForm,
            GuestForm,
            ByNameForm,
            ByHandForm,
            QuestionRow,
            TypeRow,
            AnswersForm,
            OthersForm,
            WhenForm,
            RuleForm,
            HelperForm,
            InvitationForm,
            SearchForm,
            CirclesFilter,
            KeyForm,
            GrantForm,
            AddressForm,
            CalendarForm,
            NewerFileForm,
        ),
    )
    makers: dict[type, Any] = {kind: kind for kind in plain}
    return makers | {
        PartyForm: lambda data: PartyForm(data, member=region.member, adults=[], children=[]),
        EventForm: lambda data: EventForm(data, member=region.manager),
        ChannelsForm: lambda data: ChannelsForm(data, member=region.member),
        JoinAgainForm: JoinAgainForm,
        LoginCodeForm: lambda data: LoginCodeForm(data, code="BCDF-GHJK-LMNP"),
        SignUpCodeForm: lambda data: SignUpCodeForm(data, code="BCDF-GHJK-LMNP"),
        OnceMoreForm: lambda data: OnceMoreForm(data, user=region.member),
        SecondStepForm: lambda data: SecondStepForm(data, user=region.member),
    }


def test_every_form_takes_or_refuses_every_text(region: Region):
    makers = form_makers(region)
    missing = {form for form in subclasses(forms.Form) if form not in makers and form.base_fields}  # type: ignore[attr-defined]
    assert not missing, missing
    with request_context(
        RequestFactory().post("/accounts/login/")
    ):  # what allauth's own forms count tries by
        for make in makers.values():
            for data in turning(list(make({}).fields), 120):
                cache.clear()
                make(data).is_valid()


def fields_of(shapes: Any, body: Any) -> list[str]:
    """The fields a body may have; of several shapes, those of any."""
    shape = shapes[body["$ref"].rsplit("/", 1)[1]] if "$ref" in body else body
    of_any = {field for one in shape.get("oneOf", ()) for field in fields_of(shapes, one)}
    return sorted({*shape.get("properties", {}), *of_any})


def test_every_operation_of_the_api_takes_or_refuses_every_text(region: Region):
    schema = SchemaGenerator().get_schema(request=None, public=True)
    shapes = schema["components"]["schemas"]
    client = Client(headers=region.headers("manager"), raise_request_exception=False)
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            where = path.replace("{id}", ids.encode(region.known.get(path.split("/")[3], 1)))
            asked = [one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"]
            body = (
                operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
            )
            fields = fields_of(shapes, body) if body else []
            for query, said in zip(turning(asked, 20), turning(fields, 20), strict=True):
                with transaction.atomic():
                    answer = client.generic(
                        method.upper(),
                        where,
                        json.dumps(said) if body else "",
                        content_type="application/json",
                        query_params=query,
                        headers={"If-Match": '"1"'},
                    )
                    calm(answer, (method, where, query, said))
                    transaction.set_rollback(True)


def test_events_of_others_are_read_whatever_is_in_them(region: Region):
    for turn, text in enumerate(all_texts()[:200]):
        row = {
            "id": f"hostile-{turn}",
            "titles": {"en": text or "?"},
            "descriptions": {"en": text, text[:8] or "x": text},
            "sessions": [{"start": "2027-06-01T19:00", "end": text[:20]}],
            "timezone": "Europe/Brussels",
            **dict.fromkeys(("venue", "street", "city", "price", "organiser", "url", "postal_code"), text),
        }
        with transaction.atomic():
            with contextlib.suppress(forms.ValidationError, serializers.ValidationError):
                imports.import_events(region.manager, region.centre, [row])
            transaction.set_rollback(True)


# Shown back


class Marks(HTMLParser):
    """What a page can do: scripts, handlers, addresses."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.scripts: list[str] = []
        self.wrong: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "script":
            self.scripts.append(str(given.get("src") or given.get("type") or given.get("nonce")))
        for name, value in attrs:
            where = re.sub(r"[\s\x00-\x20]+", "", (value or "").lower())
            if name.startswith("on") or (
                name in {"href", "src", "action", "formaction"}
                and where.startswith(("javascript:", "data:text", "vbscript:"))
            ):
                self.wrong.append(f"{tag} {name}={value}")

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def marks(page: str) -> Marks:
    found = Marks()
    found.feed(page)
    return found


def kept(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def test_what_is_said_in_a_room_comes_back_exactly(region: Region):
    said = []
    for text in all_texts():
        try:
            entry, _known = chat.post(region.member, region.room.pk, text, uuid4())
        except forms.ValidationError:
            continue
        said.append((entry.seq, text))
    assert len(said) > 0.9 * len(all_texts())
    client = Client(headers=region.headers("manager"))
    heard: dict[int, str] = {}
    after = 0
    while True:
        page = client.get(f"/api/v1/rooms/{region.room.public_id}/entries/", {"after": after}).json()
        heard |= {one["seq"]: one["body"]["text"] for one in page["results"] if one["kind"] == "message"}
        after = page["results"][-1]["seq"]
        if not page["more"]:
            break
    wrong = [(text, heard[seq]) for seq, text in said if heard[seq] not in {kept(text), kept(text).strip()}]
    assert not wrong, wrong[:3]


def test_pages_show_every_text_and_do_nothing_it_says(region: Region, manager: Client):
    """Titles, descriptions, names and nicknames, some dozens a page; scripts stay those of the page itself."""
    event, circle = region.events[0], region.circle
    paths = [f"/events/{event.public_id}/", f"/circles/{circle.public_id}/", "/events/", "/me/", "/chat/"]
    own = {path: marks(manager.get(path).text).scripts for path in paths}
    texts = [text for text in all_texts() if text.strip() and "\0" not in text]
    for start in range(0, len(texts), 60):
        some = texts[start : start + 60]
        together = "\n\n".join(some)
        with transaction.atomic():
            hosting.change(
                region.manager,
                event.pk,
                {"title": some[0][:160].strip() or "x", "description": together[:8000]},
                None,
            )
            type(circle).objects.filter(pk=circle.pk).update(name=some[-1][:80], description=together[:2000])
            members.set_profile(
                region.manager,
                {"display_name": some[1 % len(some)][:60].strip() or "x", "about": together[:1000]},
            )
            for path in paths:
                answer = manager.get(path)
                assert answer.status_code == 200
                found = marks(answer.text)
                assert not found.wrong, (path, found.wrong[:3])
                assert found.scripts == own[path], path
            shown = "".join(marks(manager.get(paths[0]).text).texts)
            assert _bare(some[0][:160]) in _bare(shown), some[0]
            transaction.set_rollback(True)


def _bare(text: str) -> str:
    return "".join(kept(text).split())
