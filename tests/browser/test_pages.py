"""Every page: usable by everybody, quiet in the console, light on the wire, complete without script."""

from collections.abc import Callable

import pytest
from visitors import Visitor

Visit = Callable[..., Visitor]

OPEN_PAGES = [
    *(
        "/",
        "/events/",
        "/circles/",
        "/about/",
        "/privacy/",
        "/terms/",
        "/accessibility/",
        "/demo/",
        "/demo/mail/",
    ),
    *("/offline/", "/t", "/accounts/login/", "/accounts/signup/", "/accounts/login/code/"),
]


@pytest.mark.parametrize("path", OPEN_PAGES)
def test_an_open_page_is_accessible_in_light_and_dark(visit: Visit, path: str):
    for dark in (False, True):
        visitor = visit(phone=dark, dark=dark)
        visitor.goto(path)
        assert visitor.axe() == []


def test_the_first_visit_of_the_event_list_is_light(visit: Visit):
    visitor = visit(phone=True)
    session = visitor.context.new_cdp_session(visitor.page)
    session.send("Network.enable")
    sizes: list[float] = []
    session.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    visitor.goto("/events/")
    visitor.page.wait_for_load_state("networkidle")
    assert sum(sizes) <= 60_000, f"{sum(sizes):.0f} bytes in {len(sizes)} answers"
