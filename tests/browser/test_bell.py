"""The bell on somebody's screen while things happen on another's."""

from collections.abc import Callable
from datetime import datetime, timedelta

from playwright.sync_api import Page, expect
from visitors import Visitor

Visit = Callable[..., Visitor]


def send(page: Page, method: str, path: str, body: object, **headers: str) -> dict[str, object]:
    """As a program with the page's own session."""
    token = page.locator('input[name="csrfmiddlewaretoken"]').first.input_value()
    answer = page.request.fetch(
        f"/api/v1/{path}",
        method=method,
        data=body,
        headers={"X-CSRFToken": token, "Referer": page.url, "If-Match": "*", **headers},
    )
    assert answer.ok, f"{path}: {answer.status} {answer.text()}"
    return dict(answer.json())


def test_a_host_moves_an_event_and_the_bell_of_who_comes_counts_up_on_another_page(visit: Visit) -> None:
    host, guest = visit(), visit(language="de", phone=True)
    desk, mine = host.sign_in("host"), guest.sign_in("partner")
    soon = (datetime.now() + timedelta(days=20)).strftime("%Y-%m-%dT19:00:00")
    plan = {"title": "Chess in the park", "starts_at": soon, "timezone": "Europe/Brussels", "language": "en"}
    event = send(desk, "POST", "events/", plan | {"venue": {"name": "Park"}, "capacity": 9})["id"]
    send(mine, "POST", f"events/{event}/registrations/", {"party": [{}]})

    guest.goto("/circles/")
    bell = mine.locator(".top a[href='/notifications/']")
    before = int(
        bell.locator("[data-unread-number]").inner_text() if bell.locator(".badge").is_visible() else 0
    )
    page = host.goto(f"/events/{event}/edit/")
    page.locator('input[name="starts"]').fill("20:30")
    page.locator("main form button.button--wide, main form .actions .button").first.click()
    page.wait_for_url(f"**/events/{event}/**")

    expect(bell.locator("[data-unread-number]")).to_have_text(str(before + 1))  # nobody loaded the page again
    expect(bell).to_have_accessible_name(f"Mitteilungen {before + 1} {'ist' if before == 0 else 'sind'} neu")
    bell.click()
    mine.wait_for_url("**/notifications/")
    first = mine.locator("#bell li").first
    expect(first).to_contain_text("Andere Zeit oder anderer Ort: Chess in the park")
    expect(first).to_contain_text("20:30")
    assert not guest.axe()
    guest.shot("bell")

    page = host.goto(f"/events/{event}/edit/")
    page.locator('input[name="starts"]').fill("21:00")
    page.locator("main form button.button--wide, main form .actions .button").first.click()
    expect(mine.locator("#bell li").first).to_contain_text(
        "21:00"
    )  # the list itself, and the old hour is gone
    expect(mine.locator("#bell")).not_to_contain_text("20:30")
    mine.locator("#bell li a").first.click()
    mine.wait_for_url("**/registrations/*/")
    expect(bell.locator("[data-unread-number]")).to_have_text(str(before))
