"""Every payload of the collection on the pages that show what people write: nothing runs, and it is read as it was written."""

import json
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from site_under_test import Site
from visitors import Visitor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from hostile import texts  # noqa: E402 - the browser tests run from a folder of their own

WATCH = """
window.hurt = [];
for (const name of ['alert', 'confirm', 'prompt', 'print', 'open']) window[name] = (...given) => window.hurt.push([name, ...given]);
document.addEventListener('securitypolicyviolation', (e) => window.hurt.push(['csp', e.violatedDirective, e.sourceFile, e.lineNumber]));
"""


@pytest.fixture
def payloads() -> list[str]:
    return [text for text in texts("xss_payloads") if text.strip() and "\0" not in text]


def fill(site: Site, payloads: list[str]) -> None:
    """Write them straight into the rows that people write: names, titles, descriptions, messages."""
    together = "\n\n".join(payloads)
    with sqlite3.connect(site.var / "circles.sqlite3", timeout=30) as base:
        base.execute("UPDATE community_circle SET name=?, description=?", (payloads[0][:80], together[:2000]))
        base.execute(
            "UPDATE events_event SET title=?, description=?, venue=?, address=?, cancel_reason=?",
            (payloads[1][:160], together, payloads[2][:160], payloads[3][:200], payloads[4][:500]),
        )
        base.execute("UPDATE community_member SET display_name=? || substr(id, 1, 4)", (payloads[5][:50],))
        base.execute("UPDATE community_profile SET about=?", (together[:1000],))
        base.execute("UPDATE community_child SET nickname=?", (payloads[6][:30],))
        base.execute("UPDATE realtime_room SET title=?", (payloads[7][:120],))
        rows = base.execute("SELECT id FROM realtime_entry WHERE kind='message'").fetchall()
        for turn, (row,) in enumerate(rows):
            base.execute("UPDATE realtime_entry SET text=? WHERE id=?", (payloads[turn % len(payloads)], row))


def test_nothing_that_people_write_runs(
    visit: Callable[..., Visitor], site: Site, payloads: list[str]
) -> None:
    fill(site, payloads)
    screen = visit()
    dialogs: list[str] = []
    screen.page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    screen.page.add_init_script(WATCH)
    screen.sign_in("member")
    seen = set()
    paths = ["/", "/events/", "/circles/", "/chat/", "/me/", "/me/household/", "/events/mine/"]
    for path in paths:
        page = screen.goto(path)
        page.wait_for_timeout(200)
        assert page.evaluate("window.hurt") == [], path
        for link in page.eval_on_selector_all(
            "main a[href]", "all => all.map((one) => one.getAttribute('href'))"
        ):
            assert not link.strip().lower().startswith(("javascript:", "data:")), (path, link)
            kind = link.split("?")[0].strip("/").split("/")[0]
            if (
                link.startswith(("/events/", "/circles/", "/chat/", "/registrations/"))
                and kind not in seen
                and len(link) > 12
            ):
                seen.add(kind)
                paths.append(link)
    assert len(seen) >= 3, seen
    assert not dialogs

    chat = next(path for path in paths if path.startswith("/chat/") and len(path) > 8)
    screen.goto(chat)
    shown = screen.page.locator("main").inner_text()
    found = [text for text in payloads if "".join(text.split()) in "".join(shown.split())]
    assert len(found) > 5, "messages are read as they were written"
    assert screen.page.evaluate("window.hurt") == []
    print(json.dumps({"payloads": len(payloads), "pages": len(paths), "read exactly": len(found)}))
