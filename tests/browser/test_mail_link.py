"""The link in a mail, as a real browser follows it: one button, and the places are free."""

import re
from collections.abc import Callable

from playwright.sync_api import expect
from visitors import Visitor

Visit = Callable[..., Visitor]
LINK = re.compile(r"/registrations/\w+/cancel/\?key=\S+")


def test_places_are_given_back_by_the_link_of_a_mail(visit: Visit):
    """Without a session and without script. Told to send no referrer, Chromium sends `Origin: null` with the form."""
    visitor = visit(javascript=False)
    page = visitor.goto("/demo/mail/?to=amara@example.org")
    mails = [one.get_attribute("href") or "" for one in page.locator('main a[href*="mail="]').all()]
    for mail in mails:
        found = LINK.search(visitor.goto(f"/demo/mail/{mail}" if mail.startswith("?") else mail).content())
        if found:
            break
    assert found
    link = found[0].split('"')[0].split("<")[0].replace("&amp;", "&")
    visitor.goto(link)
    page.locator("main form button").first.click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    visitor.may_fail.add(404)
    again = page.goto(link)
    assert again and again.status == 404
