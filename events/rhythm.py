"""A rule as a host chooses it, and what becomes of dates when one rule takes the place of another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from events import rules, series
from events.series import WEEK, Rule

RHYTHMS = ("weekly", "weekday", "lastday", "monthday", "yearly")
OFTEN = range(1, 5)  # every time to every fourth
# How far a date may go when its meetup gets another day in the same rhythm: less than half a turn.
NEAR = {"WEEKLY": timedelta(days=3), "MONTHLY": timedelta(days=15), "YEARLY": timedelta(days=180)}
PLAIN = {"FREQ", "INTERVAL", "COUNT", "UNTIL", "BYDAY", "BYMONTHDAY", "BYMONTH"}


@dataclass(frozen=True)
class Choice:
    """What a host chooses instead of writing a rule; `repeat` is one of RHYTHMS, or once."""

    repeat: str
    every: int = 1
    weekdays: Sequence[str] = ()
    count: int | None = None
    until: date | None = None

    def rrule(self, day: date) -> str:
        """RFC 5545 §3.3.10 of it, begun on `day`; empty for once."""
        week = WEEK[day.weekday()]
        rhythms = {
            "weekly": f"FREQ=WEEKLY;BYDAY={','.join(self.weekdays or [week])}",
            "weekday": f"FREQ=MONTHLY;BYDAY={(day.day - 1) // 7 + 1}{week}",
            "lastday": f"FREQ=MONTHLY;BYDAY=-1{week}",
            "monthday": f"FREQ=MONTHLY;BYMONTHDAY={day.day}",
            "yearly": f"FREQ=YEARLY;BYMONTH={day.month};BYMONTHDAY={day.day}",
        }
        rule = rhythms.get(self.repeat, "")
        if rule and self.every > 1:
            rule += f";INTERVAL={self.every}"
        if rule and self.count:
            rule += f";COUNT={self.count}"
        if rule and self.until:
            rule += f";UNTIL={self.until:%Y%m%d}T235959"
        return rule


def written(rrule: str) -> str:
    """A rule as it is stored, however it was typed."""
    return "".join(rrule.upper().split()).removeprefix("RRULE:")


def meaning(rrule: str, start: datetime, zone: str) -> dict[str, str]:
    """The parts of a rule with what its start says named, and what says nothing left out: equal for equal rules."""
    said = rules.parts_of(written(rrule))
    if said.get("INTERVAL") == "1":
        del said["INTERVAL"]
    if said.get("WKST") == "MO":
        del said["WKST"]
    if not any(name.startswith("BY") for name in said):
        begun = {"weekly": "WEEKLY", "monthday": "MONTHLY", "yearly": "YEARLY"}
        for repeat, freq in begun.items():
            if said.get("FREQ") == freq:
                said |= rules.parts_of(Choice(repeat).rrule(start.date()))
    if "BYDAY" in said:
        said["BYDAY"] = ",".join(sorted({day.lstrip("+") for day in said["BYDAY"].split(",")}))
    if "UNTIL" in said:
        last = series.wall_time(said["UNTIL"], zone, time(23, 59, 59))
        said["UNTIL"] = f"{last.date() - timedelta(days=last.time() < start.time()):%Y-%m-%d}"
    return said


def counting(rrule: str, more: int) -> str:
    """The rule with its COUNT, if it has one, raised by so many dates before its first."""
    parts = rules.parts_of(rrule)
    if "COUNT" in parts:
        parts["COUNT"] = str(int(parts["COUNT"]) + more)
    return ";".join(f"{name}={value}" for name, value in parts.items())


def choice_of(rrule: str, start: datetime, zone: str, day: date) -> Choice | None:
    """What a host would choose on `day` for this rule of a meetup that begins at `start`; None for one that cannot be chosen."""
    if not rrule:
        return Choice("once")
    means = meaning(rrule, start, zone)
    every = means.get("INTERVAL", "1")
    if not every.isdigit() or int(every) not in OFTEN:
        return None
    days = [name for name in WEEK if name in means.get("BYDAY", "").split(",")]
    for repeat in RHYTHMS:
        choice = Choice(
            repeat,
            every=int(every),
            weekdays=() if days == [WEEK[day.weekday()]] else days,
            count=int(means["COUNT"]) if "COUNT" in means else None,
            until=date.fromisoformat(means["UNTIL"]) if "UNTIL" in means else None,
        )
        if meaning(choice.rrule(day), datetime.combine(day, start.time()), zone) == means:
            return choice
    return None


def followed(walls: Iterable[datetime], before: Rule, after: Rule, by: timedelta) -> dict[datetime, datetime]:
    """Where each date of a meetup goes when its rule becomes another and everything moves by `by`.

    In the same rhythm a date that the new rule does not have goes to the nearest one that nobody else takes: a meetup
    on second Tuesdays becomes one on second Wednesdays with everybody who comes. All others just move.
    """
    moved = {wall: wall + by for wall in walls}
    near = _near(before.rrule, after.rrule)
    if not moved or not near:
        return moved
    new = set(series.by_rule(after, max(moved.values()) + near))
    free = new - set(moved.values())
    for wall, there in sorted(moved.items()):
        if there not in new and there not in after.rdates and free:
            nearest = min(free, key=lambda one, there=there: (abs(one - there), one))  # type: ignore[misc]
            if abs(nearest - there) <= near:
                moved[wall] = nearest
                free.remove(nearest)
    return moved


def _near(before: str, after: str) -> timedelta:
    """How far a date may go from one rule to another; nowhere when their rhythms differ."""
    rhythms = []
    for parts in (rules.parts_of(before), rules.parts_of(after)):
        days = parts.get("BYDAY", "").split(",")
        if not parts.keys() <= PLAIN or (parts.get("FREQ") != "WEEKLY" and any(day in WEEK for day in days)):
            return timedelta()
        turns = len(days) * len(parts.get("BYMONTHDAY", "").split(","))
        rhythms.append((parts.get("FREQ", ""), parts.get("INTERVAL", "1"), turns))
    return NEAR.get(rhythms[0][0], timedelta()) if rhythms[0] == rhythms[1] else timedelta()
