"""Calendars of others: the same dates as other engines find, and hostile files cost a child process, never the site.

Read from shared/data, where it is present; how many cases were compared is printed.
"""

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from events import reader, rules

DATA = Path(__file__).parents[3] / "shared/data"
WINDOW = (datetime(2027, 1, 1, tzinfo=UTC), datetime(2027, 7, 1, tzinfo=UTC))
PEAK_MB = 100
DECIDED = {
    "rie-0036": "an end before its start is taken as unknown, and the start stays: others swap the two",
}


def edge(text: str) -> datetime:
    """An edge of a query: Z is UTC, without it is the wall clock of each event."""
    moment = rules.wall_time(text, UTC)
    return moment.replace(tzinfo=UTC) if text.endswith("Z") else moment


def shown(one: reader.Occurrence) -> dict[str, Any]:
    """An occurrence in the words of the data."""
    form = "%Y%m%d" if one.all_day else "%Y%m%dT%H%M%S"
    start, end = one.starts_at, one.ends_at or one.starts_at
    name = one.recurrence.replace("-", "").replace(":", "")
    words = {
        "dtstart": start.strftime(form),
        "dtend": end.strftime(form),
        "uid": one.uid,
        "summary": one.title,
    }
    return words | {"recurrence_id": name or start.strftime(form)}


def compared(rows: list[dict[str, Any]], ics: str, *, has_uids: bool) -> list[str]:
    """What is compared of each occurrence. Three things are said otherwise here, and mean the same.

    A date of "this and all following" keeps its own RECURRENCE-ID here, there it has that of the change; the date of a
    whole day is named by its day, there sometimes by its midnight; a VEVENT without UID gets one here.
    """
    left_out = {"dtstart_utc", "dtend_utc", *(() if has_uids else ("uid",))}
    if ics.endswith("issue_75_range_parameter.ics"):
        left_out.add("recurrence_id")
    said = [
        {
            name: text.removesuffix("T000000") if name == "recurrence_id" else text
            for name, text in row.items()
            if name not in left_out
        }
        for row in rows
    ]
    return sorted(json.dumps(one, sort_keys=True) for one in said)


def test_the_queries_that_others_answer_are_answered_alike() -> None:
    path = DATA / "recurrence/ics_queries.jsonl"
    if not path.exists():
        print("131 of 131 queries lacked: no shared/data here")
        return
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    wrong = {}
    for row in rows:
        content = (path.parent / row["ics"]).read_bytes()
        reading = reader.read(content, edge(row["range"]["from"]), edge(row["range"]["to"]), "UTC")
        has_uids = all("uid" in one for one in row["expected"])
        got = compared([shown(one) for one in reading.occurrences], row["ics"], has_uids=has_uids)
        expected = compared(row["expected"], row["ics"], has_uids=has_uids)
        if got != expected or len(got) != row["expected_count"]:
            wrong[row["id"]] = (row["ics"], set(got) ^ set(expected))
    print(f"{len(rows)} queries compared, {len(DECIDED)} decided otherwise")
    assert wrong.keys() == DECIDED.keys(), wrong


# What files say


def calendar(*events: str, head: str = "") -> bytes:
    """A file with these VEVENTs, each without its first and last line."""
    rows = "".join(f"BEGIN:VEVENT\n{event.strip()}\nEND:VEVENT\n" for event in events)
    return f"BEGIN:VCALENDAR\nVERSION:2.0\n{head}{rows}END:VCALENDAR\n".replace("\n", "\r\n").encode()


def dates(content: bytes, zone: str = "Europe/Brussels") -> list[reader.Occurrence]:
    return reader.read(content, *WINDOW, zone).occurrences


def test_a_single_event_has_no_recurrence_and_everything_it_says():
    (one,) = dates(
        calendar(
            "UID:a@b\nDTSTART;TZID=Europe/Amsterdam:20270301T190000\nDURATION:PT90M\nSUMMARY:Taal\\, en  koffie\n"
            "DESCRIPTION:Kom\\nlangs\nLOCATION:Bibliotheek\nURL:https://example.org/1"
        )
    )
    assert (one.uid, one.recurrence, one.timezone) == ("a@b", "", "Europe/Amsterdam")
    assert one.starts_at.isoformat() == "2027-03-01T19:00:00+01:00"
    assert one.ends_at and one.ends_at.isoformat() == "2027-03-01T20:30:00+01:00"
    assert (one.title, one.description, one.location) == ("Taal, en koffie", "Kom\nlangs", "Bibliotheek")
    assert (one.url, one.all_day, one.is_cancelled) == ("https://example.org/1", False, False)


@pytest.mark.parametrize(
    ("start", "head", "expected"),
    [
        ("DTSTART:20270301T190000", "", "2027-03-01T19:00:00+01:00 Europe/Brussels"),
        ("DTSTART:20270301T180000Z", "", "2027-03-01T19:00:00+01:00 Europe/Brussels"),
        (
            "DTSTART:20270301T180000Z",
            "X-WR-TIMEZONE:Europe/London\n",
            "2027-03-01T18:00:00+00:00 Europe/London",
        ),
        (
            "DTSTART:20270301T180000",
            "X-WR-TIMEZONE:Europe/London\n",
            "2027-03-01T18:00:00+00:00 Europe/London",
        ),
        ("DTSTART;TZID=Romance Standard Time:20270301T190000", "", "2027-03-01T19:00:00+01:00 Europe/Paris"),
        ("DTSTART;TZID=/etc/passwd:20270301T190000", "", "2027-03-01T19:00:00+01:00 Europe/Brussels"),
        (
            "DTSTART:20270301T190000",
            "X-WR-TIMEZONE:../../etc/passwd\n",
            "2027-03-01T19:00:00+01:00 Europe/Brussels",
        ),
    ],
)
def test_each_time_has_a_zone_with_a_name(start: str, head: str, expected: str):
    (one,) = dates(calendar(f"UID:1\n{start}", head=head))
    assert f"{one.starts_at.isoformat()} {one.timezone}" == expected


def test_a_rule_in_utc_follows_the_clock_that_the_calendar_names():
    """Nineteen o'clock stays nineteen o'clock when the clocks change, where the file says whose clock it is."""
    weekly = "UID:1\nDTSTART:20270315T180000Z\nRRULE:FREQ=WEEKLY;COUNT=3"
    found = dates(calendar(weekly, head="X-WR-TIMEZONE:Europe/Brussels\n"))
    assert [one.starts_at.hour for one in found] == [19, 19, 19]
    assert [one.recurrence for one in found] == [
        "2027-03-15T19:00:00",
        "2027-03-22T19:00:00",
        "2027-03-29T19:00:00",
    ]


def test_of_a_uid_that_comes_twice_the_later_sequence_counts():
    old = "UID:1\nDTSTART:20270301T190000\nSUMMARY:Old\nSEQUENCE:1"
    new = "UID:1\nDTSTART:20270301T190000\nSUMMARY:New\nSEQUENCE:2"
    assert [one.title for one in dates(calendar(new, old))] == ["New"]


def test_a_date_called_off_says_so_and_the_others_stay():
    found = dates(
        calendar(
            "UID:1\nDTSTART:20270301T190000\nRRULE:FREQ=DAILY;COUNT=3",
            "UID:1\nDTSTART:20270302T190000\nRECURRENCE-ID:20270302T190000\nSTATUS:CANCELLED",
        )
    )
    assert [one.is_cancelled for one in found] == [False, True, False]


def test_a_description_in_html_comes_as_its_words():
    html = '<p>Come <b>along</b></p><script>alert(1)</script><ul><li>Tea</li><li><a href="https://example.org">here</a></li></ul>'
    (one,) = dates(calendar(f"UID:1\nDTSTART:20270301T190000\nDESCRIPTION:{html}"))
    assert one.description == "Come along\n\n• Tea\n• here (https://example.org)"


def test_a_daily_meetup_from_long_ago_still_has_its_dates():
    found = dates(calendar("UID:1\nDTSTART:20050101T190000\nRRULE:FREQ=DAILY"))
    assert len(found) == 181


def test_one_event_that_cannot_be_read_leaves_the_others():
    reading = reader.read(
        calendar(
            "UID:1\nDTSTART:20270301T190000", "UID:2\nDTSTART:20270301T190000\nRRULE:FREQ=SOMETIMES", "UID:3"
        ),
        *WINDOW,
        "Europe/Brussels",
    )
    assert ([one.uid for one in reading.occurrences], sorted(reading.unreadable)) == (["1"], ["2", "3"])


# Hostile files

APART = """
import json, resource, sys
from datetime import UTC, datetime
from pathlib import Path
from events import reader
said = []
for name in sys.argv[2:]:
    content = Path(name).read_bytes()
    try:
        found = reader.read_apart(content, datetime(2027, 1, 1, tzinfo=UTC), datetime(2027, 7, 1, tzinfo=UTC), "UTC", int(sys.argv[1]))
        said.append(len(found.occurrences))
    except reader.Refused as no:
        said.append(no.code)
print(json.dumps([said, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024]))
"""


def read_all(paths: list[Path], seconds: int = reader.SECONDS) -> list[int | str]:
    """What becomes of each file, none at a cost of more than 100 MB."""
    command = [sys.executable, "-c", APART, str(seconds), *map(str, paths)]
    ran = subprocess.run(command, capture_output=True, check=True, timeout=120)
    said, peak = json.loads(ran.stdout)
    print(f"{len(paths)} files, at most {peak} MB")
    assert peak < PEAK_MB
    return list(said)


def test_files_that_broke_other_programs_are_read_or_refused():
    files = sorted((DATA / "hostile/ical").glob("*"))
    if not files:
        print("25 of 25 files lacked: no shared/data here")
        return
    said = read_all(files)
    assert len(said) == 25
    assert {one for one in said if isinstance(one, str)} <= {"unreadable", "large", "many"}


HOSTILE = {
    "large": (b"x" * (reader.MAX_BYTES + 1), "large"),
    "components": (b"BEGIN:VCALENDAR\r\n" * (reader.MAX_COMPONENTS + 1), "many"),
    "nested": (b"BEGIN:VCALENDAR\r\n" * reader.MAX_COMPONENTS, "unreadable"),
    "one endless line": (calendar("UID:1\nSUMMARY:" + "a" * 2_000_000), 0),
    "all its memory in lines": (calendar("UID:1\nDTSTART:20270301T190000Z\n" + "X-A:b\n" * 250_000), "many"),
    "seconds": (calendar("UID:1\nDTSTART:20200101T000000Z\nRRULE:FREQ=SECONDLY"), 0),
    "more dates than anybody wants": (
        calendar(*(f"UID:{n}\nDTSTART:20260101T000000Z\nRRULE:FREQ=DAILY" for n in range(2_000))),
        reader.MAX_OCCURRENCES,
    ),
    "its own clock, with fifty second hands": (
        calendar(
            "UID:1\nDTSTART;TZID=Mine:20270301T190000",
            head="BEGIN:VTIMEZONE\nTZID:Mine\n" + "BEGIN:STANDARD\nDTSTART:16010101T000000\nTZOFFSETFROM:+0100\n"
            "TZOFFSETTO:+0200\nRRULE:FREQ=SECONDLY\nEND:STANDARD\n" * 50 + "END:VTIMEZONE\n",
        ),
        "many",
    ),
}  # fmt: skip


def test_files_made_to_hurt_are_read_or_refused(tmp_path: Path):
    paths = []
    for n, (content, _expected) in enumerate(HOSTILE.values()):
        paths.append(tmp_path / str(n))
        paths[-1].write_bytes(content)
    assert read_all(paths) == [expected for _content, expected in HOSTILE.values()]


def test_a_file_that_takes_too_long_is_ended(tmp_path: Path):
    never = (
        f"UID:{n}\nDTSTART:20200101T000000Z\nRRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30" for n in range(4_000)
    )
    path = tmp_path / "never.ics"
    path.write_bytes(calendar(*never))
    assert read_all([path], seconds=1) == ["slow"]


def test_the_child_knows_no_secret(monkeypatch: pytest.MonkeyPatch):
    told: list[dict[str, str]] = []
    real = subprocess.run

    def run(*given: Any, **more: Any) -> Any:
        told.append(more["env"])
        return real(*given, **more)

    monkeypatch.setenv("SECRET_KEY", "x")
    monkeypatch.setattr(subprocess, "run", run)
    reader.read_apart(calendar("UID:1\nDTSTART:20270301T190000"), *WINDOW, "UTC")
    assert told[0].keys() <= {"PATH", "PYTHONPATH", "PYTHONTZPATH"}


def test_the_child_hands_over_what_the_file_says():
    content = calendar(
        "UID:1\nDTSTART;TZID=Europe/Brussels:20270301T190000\nSUMMARY:Größe 🎉", head="X-WR-CALNAME:Cité\n"
    )
    apart = reader.read_apart(content, *WINDOW, "Europe/Brussels")
    assert apart == reader.read(content, *WINDOW, "Europe/Brussels")
    assert (apart.name, apart.occurrences[0].title) == ("Cité", "Größe 🎉")
