"""The whole main job, on several screens at once, as people do it: in English, and once in German."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from site_under_test import Site
from visitors import Visitor, film, read_qr

Visit = Callable[..., Visitor]
Launch = Callable[..., Browser]


@dataclass(frozen=True)
class Words:
    """What the test reads on the pages, in one language."""

    language: str
    mark: str
    """What its pictures have behind their name."""
    sought: str
    title: str


ENGLISH = Words("en", "", "soup", "Soup and games evening for families")
GERMAN = Words("de", "-de", "Suppe", "Suppe und Spiele für Familien")


def code_mailed_to(visitor: Visitor, address: str) -> str:
    """The code of the newest mail to an address, from the demo's mailbox, on another tab."""
    tab = visitor.context.new_page()
    tab.goto(f"/demo/mail/?to={address}")
    tab.locator("main nav li a").first.click()
    found = re.search(r"\b([A-Z0-9]{4}(?:-[A-Z0-9]{4})+)\b", tab.locator("#mail").inner_text())
    tab.close()
    assert found, f"no code in the mail to {address}"
    return found.group(1)


def sign_up(visitor: Visitor, address: str) -> None:
    page = visitor.goto("/accounts/signup/")
    page.locator('input[name="email"]').fill(address)
    page.locator('input[name="is_adult"]').check()
    page.locator('input[name="agrees"]').check()
    page.locator("main form button.button--wide").first.click()
    page.locator('input[name="code"]').fill(code_mailed_to(visitor, address))
    page.locator("main form button.button--wide").first.click()
    page.wait_for_url("**/welcome/1/")


def tell_about_myself(visitor: Visitor, name: str, words: Words) -> None:
    """The four screens of the welcome."""
    page = visitor.page
    page.locator('input[name="display_name"]').fill(name)
    page.locator(f'input[name="language"][value="{words.language}"]').check(force=True)
    go_on(page, "**/welcome/2/")
    page.locator(f'input[name="languages"][value="{words.language}"]').check(force=True)
    go_on(page, "**/welcome/3/")
    page.locator('input[name="works"]').fill("Aachen")
    page.wait_for_load_state("networkidle")
    page.locator('input[name="lives"]').press_sequentially(
        "Hasselt", delay=30
    )  # towns are offered while typing
    page.locator("#lives-choices label").filter(has_text="Hasselt").click()
    go_on(page, "**/welcome/4/")
    page.locator('input[name="interests"][value="board-games"]').check(force=True)
    go_on(page, visitor.url + "/")


def go_on(page: Page, then: str) -> None:
    page.locator("main form .actions .button:not([name])").click()
    page.wait_for_url(then)


def add_a_child(visitor: Visitor, nickname: str) -> None:
    page = visitor.goto("/me/household/")
    page.locator("details:has(input[name='child-nickname']) > summary").click()
    page.locator('input[name="child-nickname"]').fill(nickname)
    page.locator('[name="child-birth_year"]').fill("2019")
    page.locator('form[action$="/children/"] button').click()
    expect(page.locator("main")).to_contain_text(nickname)


def find_event(visitor: Visitor, words: Words) -> Page:
    """By free text, on the list."""
    page = visitor.goto("/events/")
    page.locator('main form input[name="q"]').fill(words.sought)
    page.locator('main form[role="search"] button').click()
    page.get_by_role("link", name=words.title).first.click()
    expect(page.locator("h1")).to_have_text(words.title)
    return page


def register_the_family(page: Page) -> None:
    party = page.locator("#come form")
    party.locator('input[name="me"]').check(force=True)
    for child in party.locator('input[name="children"]').all():
        child.check(force=True)
    party.locator("button.button--wide").click()
    page.wait_for_url("**/registrations/*/")


def let_the_doors_open(visitor: Visitor, site: Site, event: str) -> None:
    """Half an hour before its start it is, on the server's clock."""
    answer = visitor.page.request.get(f"/api/v1/events/{event}/")
    site.travel(datetime.fromisoformat(answer.json()["starts_at_utc"]) - timedelta(minutes=30))


def arrived(page: Page) -> Locator:
    return page.locator("[data-arrived]")


def be_scanned(visit: Visit, launch: Launch, event: str, video: Path, answers: list[str]) -> str:
    """The volunteer's phone looks at the ticket, once for each expected answer. Returns the last one's words."""
    volunteer = visit(browser=launch(camera=video), phone=True)
    volunteer.sign_in("door")
    shown = volunteer.page.locator("[data-answer]")
    for answer in answers:
        volunteer.goto(f"/events/{event}/door/")
        expect(shown).to_have_attribute("data-answer", answer)
    volunteer.shot("door")
    return shown.inner_text()


@pytest.mark.parametrize("words", [ENGLISH, GERMAN], ids=lambda words: words.language)
def test_from_arriving_to_being_let_in(
    visit: Visit, site: Site, launch: Launch, words: Words, tmp_path: Path
):
    newcomer = visit(language=words.language, phone=True)
    sign_up(newcomer, f"new-{words.language}@example.org")
    tell_about_myself(newcomer, "Nora", words)
    add_a_child(newcomer, "Pia")
    page = find_event(newcomer, words)
    event = page.url.rstrip("/").rsplit("/", 1)[1]
    newcomer.shot(f"event{words.mark}")
    register_the_family(page)
    newcomer.shot(f"ticket{words.mark}")
    code, picture = read_qr(page.locator(".ticket__code"))
    newcomer.goto("/")
    newcomer.shot(f"today{words.mark}")
    assert re.fullmatch(rf"{site.url}/t#[A-Z2-7]{{144}}", code)

    host = visit()
    host.sign_in("host")
    let_the_doors_open(host, site, event)
    board = host.goto(f"/events/{event}/guests/")
    before = int(arrived(board).inner_text())
    words_of_answer = be_scanned(
        visit, launch, event, film(picture, tmp_path / "ticket.mjpeg"), ["yes", "again"]
    )
    expect(arrived(board)).to_have_text(str(before + 2))  # nobody loaded the page again
    assert re.search(r"\b\d{1,2}[:.]\d{2}\b", words_of_answer), "a second scan says when the first one was"
    assert "Wout" in words_of_answer, "and who let them in"
    host.shot("board")


def said(visitor: Visitor) -> list[str]:
    """Everything said in the room, from top to bottom."""
    return visitor.page.locator(".chat-bubble").all_inner_texts()


def say(visitor: Visitor, text: str) -> None:
    visitor.page.locator("#text").fill(text)
    visitor.page.locator("#text").press("Enter")


def hears(visitor: Visitor, text: str) -> None:
    """It is there, once. After a restart the browser comes back within its own back-off."""
    expect(visitor.page.locator(".chat-bubble").filter(has_text=text)).to_have_count(1, timeout=20_000)


def test_two_members_talk_through_reloads_and_a_restart(visit: Visit, site: Site):
    amara, priya = visit(), visit(phone=True, language="de")
    amara.sign_in("member")
    amara.goto("/chat/")
    amara.page.get_by_role("link", name="Board Games Hasselt").click()
    amara.page.wait_for_url("**/chat/*/")
    priya.sign_in("host")
    priya.goto(amara.page.url.removeprefix(site.url))

    say(amara, "Who brings the dice?")
    hears(priya, "Who brings the dice?")
    say(priya, "Ich, und zwei für dich")
    hears(amara, "Ich, und zwei für dich")

    amara.page.reload()
    hears(amara, "Who brings the dice?")
    hears(amara, "Ich, und zwei für dich")

    site.stop()
    say(amara, "Written while the server was away")
    for screen in (amara, priya):
        expect(screen.page.locator("[data-connection]")).to_be_visible()  # one quiet line says so
    site.start()
    for screen in (amara, priya):
        expect(screen.page.locator("[data-connection]")).to_be_hidden(timeout=20_000)
    hears(priya, "Written while the server was away")
    say(priya, "Alles angekommen")
    hears(amara, "Alles angekommen")

    for screen in (amara, priya):
        assert said(screen)[-4:] == [
            "Who brings the dice?",
            "Ich, und zwei für dich",
            "Written while the server was away",
            "Alles angekommen",
        ]
    amara.shot("chat")


def test_joining_a_circle_opens_its_room(visit: Visit):
    katrin = visit()
    katrin.sign_in("partner_staff")
    page = katrin.goto("/circles/")
    page.get_by_role("link", name="Brettspiele Hasselt").first.click()  # in her language
    page.locator('form[action$="/join/"] button').click()
    page.locator('main a[href^="/chat/"]').first.click()
    page.wait_for_url("**/chat/*/")
    say(katrin, "Hallo aus Aachen")
    hears(katrin, "Hallo aus Aachen")
