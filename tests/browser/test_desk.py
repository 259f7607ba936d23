"""A new manager's first day: twelve routine items, with the keyboard alone."""

from collections.abc import Callable

from playwright.sync_api import Page, expect
from site_under_test import Site
from visitors import Visitor

Visit = Callable[..., Visitor]
STEPS = 150  # of Tab, before we say that something cannot be reached
FOCUSED = """() => {
  const one = document.activeElement;
  const names = [one.getAttribute('aria-label'), one.labels?.[0]?.innerText, one.textContent, one.value];
  return names.filter(Boolean).map((name) => name.replace(/\\s+/g, ' ').trim());
}"""
FAIL_A_MAIL = (
    "from realtime.models import Mail; from community.models import Member;"
    "m = Member.objects.get(email='anh@example.org');"
    "Mail.objects.create(claim='desk', member=m, to=m.email, kind='event_registered', language='en', subject='Your place',"
    " text='x', message_id='<desk@localhost>', state='failed', error='550 no such box')"
)


def tab_to(page: Page, name: str, times: int = 1) -> None:
    """Press Tab until what has the focus has a name that begins so, as often as there are such things before the one meant."""
    for _step in range(STEPS):
        page.keyboard.press("Tab")
        if any(called.startswith(name) for called in page.evaluate(FOCUSED)):
            times -= 1
            if not times:
                return
    raise AssertionError(f"Tab does not reach “{name}” on {page.url}")


def press(page: Page, name: str, times: int = 1) -> None:
    """Go to a link or button with Tab, press Enter, and be on the page it leads to."""
    tab_to(page, name, times)
    with page.expect_navigation():
        page.keyboard.press("Enter")


def fill(page: Page, label: str, text: str) -> None:
    """Go to a field with Tab, and write over what is in it."""
    tab_to(page, label)
    page.keyboard.press("Control+A")
    page.keyboard.type(text)


def test_a_new_manager_does_twelve_routine_items_by_keyboard(site: Site, visit: Visit):
    site.change(FAIL_A_MAIL)
    manager = visit()
    page = manager.sign_in("manager")
    press(page, "English")  # her profile speaks Dutch
    page.wait_for_selector("html[lang=en]")

    # 1. What needs me today: a mail that did not arrive stands first.
    press(page, "Desk")
    expect(page.get_by_role("heading", level=1)).to_have_text("What needs you today")
    expect(page.locator("ol.list li").first).to_contain_text("1 mail did not arrive")
    assert not manager.axe()

    # 2. Correct the address it went to.
    press(page, "1 mail did not arrive")
    press(page, "Anh Nguyen")
    fill(page, "New address", "anh.nguyen@example.org")
    press(page, "Correct it")
    expect(page.get_by_text("Both addresses have been told")).to_be_visible()
    expect(page.locator("dl.facts").first).to_contain_text("anh.nguyen@example.org")

    # 3. Send the mail again.
    press(page, "Mails")
    press(page, "Send again")
    expect(page.get_by_text("Every mail has arrived")).to_be_visible()

    # 4. Find somebody.
    press(page, "People")
    fill(page, "Name or e-mail address", "amara")
    page.keyboard.press("Enter")
    expect(page.locator("main ul.list li")).to_have_count(1)
    press(page, "Amara Okafor")
    expect(page.get_by_role("heading", level=1)).to_have_text("Amara Okafor")

    # 5. Send her ticket again.
    press(page, "Send the ticket again")
    expect(page.get_by_text("The ticket is on its way again.")).to_be_visible()

    # 6. Make her a host, and take it back.
    press(page, "Make a host")
    expect(page.get_by_text("Amara Okafor may host now.")).to_be_visible()
    press(page, "No longer a host")
    expect(page.get_by_text("Amara Okafor no longer hosts.")).to_be_visible()

    # 7. Grant a role, and 8. withdraw it.
    press(page, "Roles")
    fill(page, "E-mail address", "amara@example.org")
    press(page, "Grant it")
    expect(page.get_by_text("Amara Okafor has the role now")).to_be_visible()
    tab_to(page, "Withdraw the role: Amara Okafor")
    page.keyboard.press("Enter")
    press(page, "Yes, withdraw it: Amara Okafor")
    expect(page.get_by_text("Amara Okafor no longer has the role.")).to_be_visible()

    # 9. Look at what is coming, and change an event of somebody else's.
    press(page, "Events", times=2)
    press(page, "Change:")
    fill(page, "Title", "Open house, with cake")
    press(page, "Save")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Open house, with cake")

    # 10. Hide a message: with the keyboard, in the menu of the message.
    hide_a_message(manager, page)

    # 11. Take the list of people along.
    press(page, "Desk")
    press(page, "People")
    tab_to(page, "As a table")
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    assert "amara@example.org" in download.value.path().read_text(encoding="utf-8-sig")

    # 12. Read what the desk did.
    press(page, "Desk")
    press(page, "Log")
    told = page.locator("main table")
    for line in ("corrected the address", "dealt with a ticket or mail", "granted a role", "withdrew a role"):
        expect(told.get_by_text(line).first).to_be_visible()


def hide_a_message(manager: Visitor, page: Page) -> None:
    """In the first room with a message of somebody else."""
    press(page, "Chat")
    page.wait_for_url("**/chat/")
    page.locator(".chat-list a").first.focus()
    page.keyboard.press("Enter")
    other = page.locator(".chat-message:not(.chat-message--mine)").last
    words = other.locator("[data-text]").inner_text()
    other.locator("summary").focus()
    page.keyboard.press("Enter")
    press(page, "Hide for everybody")
    expect(page.get_by_text(words).first).to_be_visible()
    assert not manager.axe()
    fill(page, "Reason", "Not kind")
    page.keyboard.press("Enter")
    expect(page.get_by_text("The message is hidden")).to_be_visible()
    expect(page.locator(".chat-log").get_by_text("This message was removed.").last).to_be_visible()
