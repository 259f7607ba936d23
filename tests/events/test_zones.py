"""A VTIMEZONE says what the zone says, for who reads it by the standard."""

from datetime import UTC, datetime, timedelta
from io import StringIO
from zoneinfo import ZoneInfo

import pytest
from dateutil.tz import tzical

from events import zones

NAMES = [
    "Europe/Brussels",
    "Europe/London",
    "Europe/Istanbul",  # gave up changing in 2016
    "America/New_York",
    "America/Sao_Paulo",
    "Africa/Casablanca",  # changes by the moon
    "Australia/Lord_Howe",  # by half an hour
    "Asia/Kolkata",
    "UTC",
]


@pytest.mark.parametrize("name", NAMES)
def test_another_reader_finds_the_same_clock_in_it_to_the_minute(name: str) -> None:
    text = zones.component(name).to_ical().decode()
    theirs, ours = tzical(StringIO(text)).get(name), ZoneInfo(name)
    at, last = datetime(2015, 1, 2, tzinfo=UTC), datetime(2037, 12, 31, tzinfo=UTC)
    while at < last:
        moments = [at]
        if at.astimezone(ours).utcoffset() != (at + timedelta(days=1)).astimezone(ours).utcoffset():
            moments = [at + timedelta(minutes=15 * quarter) for quarter in range(96)]
        for moment in moments:
            wall = moment.astimezone(ours).replace(tzinfo=None)
            if (wall.replace(tzinfo=ours).astimezone(UTC)) != moment:
                continue  # the second of an hour that comes twice: the wall time alone means the first
            assert wall.replace(tzinfo=theirs).utcoffset() == moment.astimezone(ours).utcoffset(), moment
        at += timedelta(days=1)


def test_onsets_are_on_the_clock_as_it_was_one_a_line_or_by_a_rule() -> None:
    brussels = zones.component("Europe/Brussels").to_ical().decode()
    assert "DTSTART:20150329T020000\r\nRRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=3" in brussels
    assert "RDATE" not in brussels
    lunar = zones.component("Africa/Casablanca").to_ical().decode()
    assert lunar.count("RDATE") > 20 and "," not in lunar
