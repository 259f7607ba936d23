"""The demo region's events: published and registered for by the same verbs as a visitor's clicks; the past as it was."""

import hashlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from config.demo_people import content
from config.demo_region import ZONE, Region
from events import hosting, invited, inviting, questions, registration
from events.models import Attendee, Claim, DoorHelper, Event, Gate, Pool, Registration, Scan, Series
from events.party import Person


def make_events(region: Region) -> Iterator[str]:
    """Single events and meetups, from four weeks ago to eight weeks ahead. Yields each title."""
    for row in content("events"):
        centre = region.centres[row["centre"]]
        there = Event.objects.filter(title=row["title"], centre=centre)
        if not there.exists():
            if row["rrule"]:
                _meetup(region, row)
            else:
                _single(region, row)
        yield row["title"]


def _plan(region: Region, row: dict[str, Any]) -> hosting.Plan:
    """The content file's words as a host's plan."""
    day = region.today + timedelta(days=row["day"])
    if row.get("weekday") is not None:
        day += timedelta(days=(row["weekday"] - day.weekday()) % 7)
    start = datetime.combine(day, datetime.strptime(row["time"], "%H:%M").time())
    if row.get("soon"):  # whenever the demo is loaded, one door is open
        start = _next_half_hour(region.now.astimezone(ZONE).replace(tzinfo=None))
    venue = row["venue"]
    place = region.place(venue["place"], venue["country"])
    return {
        "title": row["title"],
        "description": row["description"],
        "language": row["language"],
        "starts_at": start,
        "ends_at": start + timedelta(minutes=row["minutes"]) if row["minutes"] else None,
        "timezone": place.time_zone if place else "Europe/Brussels",
        "all_day": row["all_day"],
        "venue": venue["name"],
        "address": venue["address"],
        "place": place,
        "capacity": row["capacity"],
        "visibility": row["visibility"],
        "circle": region.circles[row["circle"]] if row["circle"] else None,
        "waiting_list": row["waiting_list"],
        "centre": region.centres[row["centre"]],
        "partner_centres": [region.centres[slug] for slug in row["partners"]],
        "languages": row["languages"],
        "interests": [region.interests[slug] for slug in row["interests"]],
        "for_families": row["family"],
        "step_free": row["step_free"],
        "childcare": row["childcare"],
        "is_free": row["free"],
        "price_note": row["price_note"] or {},
        "questions": questions.written(map(questions.of_row, row.get("questions", ()))),
    }


def _next_half_hour(now: datetime) -> datetime:
    """The full or half hour that comes next."""
    return now.replace(minute=0, second=0, microsecond=0) + timedelta(minutes=30 * (now.minute // 30 + 1))


def _single(region: Region, row: dict[str, Any]) -> None:
    event = hosting.publish(region.members[row["host"]], _plan(region, row))
    _translate(event, row)
    _staff_the_door(region, event, row)
    if event.is_over:
        _came(region, event, row["registrations"], set(row.get("attended", [])))
        return
    _register(region, event, row["registrations"])
    if row.get("invited"):
        addresses = "\n".join(region.members[key].email for key in row["invited"])
        inviting.invite_addresses(event.host, event.pk, addresses)
        invited.send_due()
    if row.get("cancelled"):
        hosting.call_off(region.members[row["host"]], event.pk, row["cancelled"])


def _meetup(region: Region, row: dict[str, Any]) -> None:
    """A series with its occurrences: those who come were at the past ones too, and are registered for the next."""
    plan = _plan(region, row)
    left_out = [plan["starts_at"] + timedelta(weeks=weeks) for weeks in row.get("exdates_in_weeks", [])]
    meetup = hosting.publish_series(
        region.members[row["host"]], plan, {"rrule": row["rrule"], "exdates": left_out}
    )
    Series.objects.filter(pk=meetup.pk).update(translations=row["translations"])
    has_next = False
    for event in Event.objects.filter(series=meetup).order_by("starts_at"):
        _translate(event, row)
        if event.is_over:
            come = [entry for number, entry in enumerate(row["registrations"]) if (number + event.pk) % 4]
            _came(region, event, come, {entry["by"] for entry in come})
        elif not has_next:
            has_next = True
            _staff_the_door(region, event, row)
            _register(region, event, row["registrations"])


def _translate(event: Event, row: dict[str, Any]) -> None:
    event.translations = row["translations"]
    Event.objects.filter(pk=event.pk).update(translations=event.translations, search=event.searchable())


def _staff_the_door(region: Region, event: Event, row: dict[str, Any]) -> None:
    for key in row.get("door", []):
        DoorHelper.objects.get_or_create(
            event=event, member=region.members[key], defaults={"named_by": event.host}
        )


def _party(region: Region, entry: dict[str, Any]) -> list[Person]:
    """ "me", "partner" and "child:NICKNAME" as people of a party."""
    people = []
    for who in entry["party"]:
        if who == "me":
            people.append(Person(member_id=region.members[entry["by"]].pk))
        elif who == "partner":
            people.append(Person(member_id=region.partner_of[entry["by"]].pk))
        else:
            people.append(Person(child_id=region.children[entry["by"]][who.removeprefix("child:")].pk))
    return people


def _register(region: Region, event: Event, entries: list[dict[str, Any]]) -> None:
    for entry in entries:
        registration.register(region.members[entry["by"]], event.pk, _party(region, entry), wait=True)


def _came(region: Region, event: Event, entries: list[dict[str, Any]], attended: set[str]) -> None:
    """Write a past event's registrations and scans as they stood when it was over."""
    if event.starts_at is None or not entries:
        return
    pool = Pool.objects.get(event=event, kind=Pool.Kind.TOTAL)
    gate = Gate.objects.create(event=event, name="Door", member=event.host, paired_at=event.starts_at)
    booked_at = event.starts_at - timedelta(days=6)
    order = 0
    for entry in entries:
        member, party = region.members[entry["by"]], _party(region, entry)
        taken = Registration.objects.create(
            event=event, member=member, language=member.language, state=Registration.State.CONFIRMED,
            party_size=len(party), next_slot=len(party), created_at=booked_at, changed_at=booked_at,
        )  # fmt: skip
        Claim.objects.create(registration=taken, pool=pool, n=len(party))
        pool.taken += len(party)
        names = {child.pk: child.nickname for child in region.children.get(entry["by"], {}).values()}
        adults = {adult.pk: adult.display_name for adult in region.members.values()}
        Attendee.objects.bulk_create(
            Attendee(
                registration=taken, event=event, slot=slot, member_id=person.member_id, child_id=person.child_id,
                name=adults.get(person.member_id or 0) or names.get(person.child_id or 0, ""),
            )
            for slot, person in enumerate(party)
        )  # fmt: skip
        if entry["by"] in attended:
            order += 1
            at = event.starts_at + timedelta(minutes=2 * order - 10)
            name = f"{event.public_id}/{order}"
            Scan.objects.create(
                id=uuid5(NAMESPACE_URL, name), event=event, order=order, gate=gate, by=event.host, kind=Scan.Kind.IN,
                registration=taken, serial=1, slots=(1 << len(party)) - 1, at=at, received_at=at,
                digest=hashlib.sha256(name.encode()).hexdigest(),
            )  # fmt: skip
    pool.save(update_fields=["taken"])
