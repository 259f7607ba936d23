"""Signing out leaves nothing of a person in the browser, and no page of theirs behind the back button."""

from collections.abc import Callable

from playwright.sync_api import expect
from visitors import Visitor

Visit = Callable[..., Visitor]

EVERYTHING = """async () => {
  const found = Object.entries({ ...localStorage, ...sessionStorage }).map(String);
  for (const name of await caches.keys())
    for (const request of await (await caches.open(name)).keys()) found.push(new URL(request.url).pathname);
  for (const { name } of await indexedDB.databases()) {
    const opened = await new Promise((done) => (indexedDB.open(name).onsuccess = (event) => done(event.target.result)));
    for (const store of opened.objectStoreNames) {
      const rows = await new Promise((done) =>
        (opened.transaction(store).objectStore(store).getAll().onsuccess = (event) => done(event.target.result)));
      found.push(...rows.map((row) => JSON.stringify(row)));
    }
    opened.close();
  }
  return found;
}"""


def kept_in(visitor: Visitor) -> list[str]:
    """What the browser keeps of this person: stored values, pages of theirs, rows; not the site's own files."""
    found: list[str] = visitor.page.evaluate(EVERYTHING)
    return [one for one in found if not one.startswith(("/static/", "/offline/"))]


def live_through_a_day(visitor: Visitor) -> str:
    """Open a ticket and begin a message; returns its words."""
    visitor.goto("/events/mine/").locator('main a[href^="/registrations/"]').first.click()
    visitor.page.locator(".ticket__code svg").wait_for()
    visitor.page.wait_for_function("navigator.serviceWorker.controller !== null")
    visitor.page.reload()  # now through the service worker, which keeps it
    visitor.page.locator(".ticket__code svg").wait_for()
    visitor.goto("/chat/").locator(".chat-list a").first.click()
    visitor.page.locator(".chat-log [data-seq]").first.wait_for()  # drawn by the script
    draft = "a draft nobody has seen"
    visitor.page.locator("textarea").fill(draft)
    visitor.page.wait_for_function("words => Object.values(localStorage).includes(words)", arg=draft)
    return draft


def test_nothing_of_a_person_stays_in_the_browser(visit: Visit):
    visitor = visit()
    visitor.sign_in("member")
    draft = live_through_a_day(visitor)
    before = kept_in(visitor)
    assert any(one.startswith("/registrations/") for one in before), before
    assert any(draft in one for one in before), before
    visitor.goto("/me/").locator('form[action$="/logout/"] button').click()
    visitor.page.wait_for_url(f"{visitor.url}/")
    expect(visitor.page.get_by_role("link", name="Sign in").first).to_be_visible()
    assert kept_in(visitor) == []


def test_the_back_button_shows_no_page_of_theirs(visit: Visit):
    visitor = visit()
    visitor.sign_in("member")
    name = visitor.goto("/me/").locator("h1").inner_text()
    visitor.page.locator('form[action$="/logout/"] button').click()
    visitor.page.wait_for_url(f"{visitor.url}/")
    visitor.page.go_back()
    visitor.page.wait_for_load_state()
    expect(visitor.page.locator("body")).not_to_contain_text(name)


def test_what_waits_to_be_sent_is_not_thrown_away_unasked(visit: Visit):
    visitor = visit()
    visitor.sign_in("member")
    page = visitor.goto("/chat/")
    page.locator(".chat-list a").first.click()
    page.locator("textarea").wait_for()
    page.evaluate(
        """async () => {
          const opened = await new Promise((done) => (indexedDB.open("circles", 1).onsuccess = (e) => done(e.target.result)));
          opened.transaction("outbox", "readwrite").objectStore("outbox").put({ key: "k", failed: "no", room: "r", at: 1 });
          opened.close();
        }"""
    )
    asked: list[str] = []
    page = visitor.goto("/me/")
    page.once("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    with page.expect_event("dialog"):
        page.locator('form[action$="/logout/"] button').click()
    assert "would be lost" in asked[0]
    assert visitor.goto("/me/").url.endswith("/me/")  # still signed in
