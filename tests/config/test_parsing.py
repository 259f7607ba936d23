"""JSON from outside: what is odd is 400, never 500, and never gets in."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.parsing import MAX_DEPTH, Odd, strict_object
from tests.config.small_site import program

pytestmark = pytest.mark.urls("tests.config.small_site")


def nested(depth: int) -> bytes:
    """An object with lists in it, `depth` levels in all."""
    return b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


ODD = {
    "no JSON": b"{",
    "nothing": b" ",
    "a list": b"[]",
    "a number": b"1",
    "null": b"null",
    "two objects": b"{}{}",
    "single quotes": b"{'a':1}",
    "NaN": b'{"a":NaN}',
    "Infinity": b'{"a":-Infinity}',
    "a number that overflows": b'{"a":1e999}',
    "an absurd exponent": b'{"a":1e30}',
    "more than 63 bits": b'{"a":9223372036854775809}',
    "31 digits": b'{"a":0.1234567890123456789012345678901}',
    "100,000 digits": b'{"a":' + b"9" * 100_000 + b"}",
    "a name twice": b'{"a":1,"a":2}',
    "a name twice, deep": b'{"b":[{"a":1,"a":2}]}',
    "NUL": b'{"a":"x\\u0000y"}',
    "NUL in a name": b'{"\\u0000":1}',
    "a bare NUL": b'{"a":"\x00"}',
    "half a surrogate pair": b'{"a":["\\ud83d"]}',
    "a surrogate in bytes": b'{"a":"\xed\xa0\x80"}',
    "latin-1": '{"a":"é"}'.encode("latin-1"),
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "17 levels": nested(MAX_DEPTH + 1),
    "100,000 brackets": b"[" * 100_000,
    "100,000 levels": nested(100_000),
    "100,000 objects": b'{"a":' * 100_000,
}


@pytest.mark.django_db
@pytest.mark.parametrize("body", ODD.values(), ids=ODD.keys())
def test_odd_json_is_400(body: bytes):
    response = program().post("/api/v1/echo/", body, content_type="application/json")
    assert (response.status_code, response["Content-Type"]) == (400, "application/problem+json")
    assert response.json()["code"] == "malformed"


@pytest.mark.django_db
def test_json_and_its_charset_in_any_case_is_read():
    for kind in ("application/json", "application/json; charset=utf-8", "Application/JSON"):
        assert program().post("/api/v1/echo/", b'{"a":1}', content_type=kind).json() == {"a": 1}


@pytest.mark.django_db
def test_no_body_is_no_error():
    assert program().post("/api/v1/echo/", content_type="application/json").json() == {}


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":9223372036854775808,"b":-9223372036854775808}',
        b'{"a":"\\ud83d\\ude00 \\u00e9"}',
        b'{"a":50.93069,"b":1e3,"c":-0.5,"d":[true,false,null]}',
        nested(MAX_DEPTH),
        json.dumps({"a": [{}] * 100}).encode(),
        '{"a":"Zoë 👩‍👩‍👧"}'.encode(),
    ],
)
def test_what_is_not_odd_is_read_as_it_stands(body: bytes):
    assert strict_object(body) == json.loads(body)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(raw: bytes):
    with suppress(Odd):
        assert isinstance(strict_object(raw), dict)


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(), inside, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), _values, max_size=4), st.booleans())
def test_what_is_read_can_be_stored_as_utf8_without_nul(value: Any, is_escaped: bool):
    try:
        text = json.dumps(value, ensure_ascii=is_escaped)
        found = strict_object(text.encode("utf-8", "surrogatepass"))
    except Odd:
        return
    assert found == value
    assert "\0" not in json.dumps(found, ensure_ascii=False).encode().decode()
