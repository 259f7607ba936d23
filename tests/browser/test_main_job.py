"""The whole main job, on several screens at once, as people do it: in English, and once in German."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from playwright.sync_api import Page, expect
from site_under_test import Site
from visitors import Visitor

Visit = Callable[..., Visitor]


@dataclass(frozen=True)
class Words:
    """What the test reads on the pages, in one language."""

    language: str
    sought: str
    title: str


ENGLISH = Words("en", "soup", "Soup and games evening for families")
GERMAN = Words("de", "Suppe", "Suppe und Spiele für Familien")


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
    page.locator('input[name="lives"]').press_sequentially("Hasselt", delay=30)  # towns are offered while typing
    page.locator("#lives-choices label").filter(has_text="Hasselt").click()
    go_on(page, "**/welcome/4/")
    page.locator('input[name="interests"][value="board-games"]').check(force=True)
    go_on(page, visitor.url + "/")


def go_on(page: Page, then: str) -> None:
    page.locator("main form .actions .button:not([name])").click()
    page.wait_for_url(then)


def add_a_child(visitor: Visitor, nickname: str) -> None:
    page = visitor.goto("/me/household/")
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


@pytest.mark.parametrize("words", [ENGLISH, GERMAN], ids=lambda words: words.language)
def test_from_arriving_to_being_let_in(visit: Visit, site: Site, words: Words):
    newcomer = visit(language=words.language, phone=True)
    sign_up(newcomer, f"new-{words.language}@example.org")
    tell_about_myself(newcomer, "Nora", words)
    add_a_child(newcomer, "Pia")
    page = find_event(newcomer, words)
    register_the_family(page)
