"""Every page: usable by everybody, quiet in the console, light on the wire, complete without script."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser
from site_under_test import Site
from visitors import DESKTOP, PHONE, Person, Visitor

Visit = Callable[..., Visitor]
SignedIn = Callable[[Person], Visitor]

OPEN_PAGES = [
    *(
        "/",
        "/events/",
        "/circles/",
        "/about/",
        "/privacy/",
        "/imprint/",
        "/terms/",
        "/accessibility/",
        "/demo/",
        "/demo/mail/",
    ),
    *("/offline/", "/t", "/accounts/login/", "/accounts/signup/", "/accounts/login/code/"),
]


OWN_PAGES = {
    "member": [
        *("/", "/events/", "/events/mine/", "/circles/", "/chat/", "/me/", "/me/profile/", "/me/household/"),
        *("/me/data/", "/me/data/erase/"),
        *("/welcome/1/", "/welcome/2/", "/welcome/3/", "/welcome/4/"),
        *("/accounts/email/", "/accounts/sessions/", "/accounts/2fa/", "/me/keys/", "/me/log/"),
        *("/notifications/", "/me/notifications/"),
    ],
    "host": ["/events/new/", "/circles/new/"],
    "manager": [
        f"/desk/hasselt/{page}"
        for page in ("", "people/", "events/", "calendars/", "roles/", "mails/", "log/")
    ],
}
# Pages of one thing: where a link to it is found, and how it looks.
LINKED_PAGES = {
    "member": [
        ("/events/", 'main a[href^="/events/"]:not([href*="?"]):not([href$="/mine/"])'),
        ("/circles/", 'main .circlecard a[href^="/circles/"]'),
        ("/chat/", ".chat-list a"),
        ("/events/mine/", 'main a[href^="/registrations/"]'),
    ],
    "host": [
        ("/events/mine/", 'main a[href$="/guests/"]'),
    ],
    "manager": [("/desk/hasselt/people/", 'main a[href*="/people/"]:not([href$="/people/"])')],
}


@pytest.fixture(scope="module")
def screens(browser: Browser, site: Site) -> Iterator[dict[str, Visitor]]:
    """One screen a person for the whole module: signing in is not what is tested here."""
    screens: dict[str, Visitor] = {}
    yield screens
    for screen in screens.values():
        screen.close()


@pytest.fixture
def signed_in(screens: dict[str, Visitor], browser: Browser, site: Site) -> Iterator[SignedIn]:
    """The screen of a demo person, signed in. It must stay without complaints."""

    def screen(person: Person) -> Visitor:
        if person not in screens:
            screens[person] = Visitor(browser, site.url)
            screens[person].sign_in(person)
        return screens[person]

    yield screen
    complaints = [complaint for screen in screens.values() for complaint in screen.complaints]
    for one in screens.values():
        one.complaints.clear()
    assert not complaints, "\n".join(complaints)


@pytest.mark.parametrize("path", OPEN_PAGES)
def test_an_open_page_is_for_everybody(visit: Visit, path: str):
    is_for_everybody(visit(), path)


@pytest.mark.parametrize(
    ("person", "path"), [(who, path) for who, paths in OWN_PAGES.items() for path in paths]
)
def test_a_page_of_ones_own_is_for_everybody(signed_in: SignedIn, person: Person, path: str):
    is_for_everybody(signed_in(person), path)


@pytest.mark.parametrize(
    ("person", "start", "link"),
    [
        pytest.param(who, start, link, id=f"{who} from {start}")
        for who, links in LINKED_PAGES.items()
        for start, link in links
    ],
)
def test_a_page_of_one_thing_is_for_everybody(signed_in: SignedIn, person: Person, start: str, link: str):
    visitor = signed_in(person)
    where = visitor.goto(start).locator(link).first.get_attribute("href")
    assert where
    is_for_everybody(visitor, where)


def is_for_everybody(visitor: Visitor, path: str) -> None:
    """Nothing serious for axe on a desktop and on a dark phone, and nothing wider than the phone."""
    page = visitor.goto(path)
    faults = visitor.axe()
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size(PHONE)
    faults += visitor.axe()
    assert faults == []
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], "wider than a phone"
    page.set_viewport_size(DESKTOP)
    page.emulate_media(color_scheme=None)


@pytest.mark.parametrize("path", ["/", "/events/", "/circles/", "/about/", "/accounts/signup/", "/t"])
def test_an_open_page_is_complete_without_script(visit: Visit, path: str):
    page = visit(javascript=False).goto(path)
    assert page.locator("main h1").count() == 1
    assert page.locator("main").inner_text().strip()


def test_events_are_found_and_joined_without_script(visit: Visit):
    visitor = visit(javascript=False)
    visitor.sign_in("partner_staff")
    page = visitor.goto("/events/")
    page.locator('main form[role="search"] input[name="q"]').fill("Suppe")
    page.locator('main form[role="search"] button').click()
    page.get_by_role("link", name="Suppe und Spiele für Familien").first.click()
    page.locator("#come form button.button--wide").click()
    page.wait_for_url("**/registrations/*/")
    assert page.locator(".ticket__code svg").count() == 1


def test_the_address_of_ones_calendar_is_copied_by_a_tap(visit: Visit):
    visitor = visit()
    visitor.context.grant_permissions(["clipboard-read", "clipboard-write"])
    visitor.sign_in("member")
    page = visitor.goto("/events/mine/")
    address = page.get_by_label("Address of my calendar")
    page.get_by_role("button", name="Copy").click()
    page.get_by_role("button", name="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == address.input_value()


def test_what_needs_script_says_so(visit: Visit):
    visitor = visit(javascript=False)
    visitor.sign_in("host")
    page = visitor.goto("/chat/")
    page.locator(".chat-list a").first.click()
    assert page.locator("noscript").inner_text().strip()
    page = visitor.goto("/events/mine/")
    page.locator('main a[href$="/guests/"]').first.click()
    page.locator('main a[href$="/door/"]').first.click()
    assert page.locator("noscript").inner_text().strip()


def test_the_first_visit_of_the_event_list_is_light(visit: Visit):
    visitor = visit(phone=True)
    session = visitor.context.new_cdp_session(visitor.page)
    session.send("Network.enable")
    sizes: list[float] = []
    session.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    visitor.goto("/events/")
    visitor.page.wait_for_load_state("networkidle")
    assert sum(sizes) <= 60_000, f"{sum(sizes):.0f} bytes in {len(sizes)} answers"
