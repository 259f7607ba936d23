"""No page asks anybody else for anything: every page a link leads to is opened, two of each kind."""

import re
from collections.abc import Callable
from urllib.parse import urljoin, urlsplit

import pytest
from visitors import Person, Visitor

Visit = Callable[..., Visitor]

NO_PAGES = re.compile(
    r"\.(csv|ics|zip|webmanifest|js|svg|png)$|^/static/|^/demo/|/api/v1/|^/me/data/[a-z2-7]{13}/$"
)
OF_A_KIND = 2
UNLINKED = ["/gate/", "/t", "/offline/", "/api/docs/", "/nowhere/"]  # a code, a phone or a mistake leads here
MUST_BE_SEEN = {
    "member": {
        "/events/*/",
        "/circles/*/",
        "/chat/*/",
        "/registrations/*/",
        "/registrations/*/cancel/",
        "/me/data/erase/",
    },
    "host": {
        "/events/*/edit/",
        "/events/*/guests/",
        "/events/*/door/",
        "/events/*/call-off/",
        "/circles/new/",
    },
    "manager": {
        *("/accounts/2fa/", "/privacy/", "/imprint/", "/desk/hasselt/", "/desk/hasselt/people/*/"),
        *("/desk/hasselt/roles/", "/desk/hasselt/events/", "/desk/hasselt/mails/", "/desk/hasselt/log/"),
    },
}


def kind_of(path: str) -> str:
    """/events/abc…/ and /events/def…/ are the same page, of different things."""
    return re.sub(r"/(?!registrations/)[a-z2-7]{13}(?=/)", "/*", path)  # a word of 13 letters, too


def links_on(visitor: Visitor) -> list[str]:
    """Paths of this site that the page links to, without their query."""
    found: list[str] = visitor.page.eval_on_selector_all("a[href]", "links => links.map(link => link.href)")
    here = urlsplit(visitor.url).netloc
    return [urlsplit(one).path for one in found if urlsplit(one).netloc == here]


@pytest.mark.parametrize("person", sorted(MUST_BE_SEEN))
def test_no_page_asks_a_stranger(visit: Visit, person: Person):
    """The screen itself complains of a request that leaves the site, and of an error in the console."""
    visitor = visit()
    visitor.may_fail.add(404)
    visitor.sign_in(person)
    waiting, seen = ["/", "/events/mine/", *UNLINKED], dict[str, list[str]]()
    while waiting:
        path = waiting.pop(0)
        alike = seen.setdefault(kind_of(path), [])
        if path in alike or len(alike) == OF_A_KIND or NO_PAGES.search(path):
            continue
        alike.append(path)
        visitor.page.goto(urljoin(visitor.url, path))
        waiting += links_on(visitor)
    assert seen.keys() >= MUST_BE_SEEN[person], sorted(MUST_BE_SEEN[person] - seen.keys())
