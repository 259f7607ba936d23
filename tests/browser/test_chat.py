"""A room on the screen: what is said looks as it was meant, names are found, long histories are walked, and two who
lose their line tell the same story in the end."""

import json
import re
from collections.abc import Callable

from playwright.sync_api import Locator, Page, WebSocketRoute, expect
from site_under_test import ROOT as ROOT_DIR
from site_under_test import Site
from visitors import Visitor

Visit = Callable[..., Visitor]
ROOM = "Board Games Hasselt"


def enter(visitor: Visitor, person: str, path: str = "") -> Page:
    visitor.sign_in(person)  # type: ignore[arg-type]
    if not path:
        visitor.goto("/chat/")
        visitor.page.get_by_role("link", name=ROOM).click()
        visitor.page.wait_for_url("**/chat/*/")
        return visitor.page
    return visitor.goto(path)


def both(visit: Visit, site: Site, **wishes: object) -> tuple[Page, Page]:
    """Amara at a desk and Priya on her phone, in German, in one room."""
    first, second = visit(**wishes), visit(phone=True, language="de")
    enter(first, "member")
    enter(second, "host", first.page.url.removeprefix(site.url))
    return first.page, second.page


def say(page: Page, text: str) -> None:
    page.locator("#text").fill(text)
    page.locator("#text").press("Enter")


def bubble(page: Page, text: str) -> Locator:
    return page.locator(".chat-message").filter(has_text=text)


def story(page: Page) -> list[str]:
    return page.locator(".chat-bubble [data-text]").all_inner_texts()


def test_words_look_as_they_were_meant_and_nothing_of_theirs_is_html(visit: Visit, site: Site):
    amara, priya = both(visit, site)
    say(
        amara,
        "*bold* **too** _lean_ ~gone~ `code` 5*3*2 snake_case_name <b>no</b> https://example.org/a_b?c=*d*.",
    )
    said = bubble(priya, "snake_case_name").locator("[data-text]")
    expect(said).to_have_count(1)
    assert said.inner_html() == (
        "<strong>bold</strong> <strong>too</strong> <em>lean</em> <s>gone</s> <code>code</code> 5*3*2 snake_case_name "
        '&lt;b&gt;no&lt;/b&gt; <a href="https://example.org/a_b?c=*d" rel="nofollow noopener noreferrer ugc" '
        'target="_blank" tabindex="-1">https://example.org/a_b?c=*d</a>*.'
    )
    amara.locator("#text").fill("Bring:\n- dice\n- cake\n> who asked?\n```\nx = 1 * 2 * 3\n```\nthanks")
    amara.locator("#text").press("Enter")
    said = bubble(priya, "who asked?").locator("[data-text]")
    expect(said).to_have_count(1)
    assert said.inner_html() == (
        "Bring:<ul><li>dice</li><li>cake</li></ul><blockquote>who asked?</blockquote>"
        "<pre><code>x = 1 * 2 * 3</code></pre>thanks"
    )


def test_each_message_says_in_which_language_it_is(visit: Visit, site: Site):
    amara, priya = both(visit, site)
    say(amara, "Wer bringt denn die Würfel mit?")
    expect(bubble(priya, "Wer bringt denn").locator(".chat-bubble")).to_have_attribute("lang", "de")
    say(amara, "Zzz 17")
    assert bubble(amara, "Zzz 17").locator(".chat-bubble").get_attribute("lang") is None

    phrases = ROOT_DIR.parent / "shared/data/chat/phrases.jsonl"
    if not phrases.exists():
        print("without shared/data: 893 phrases whose language is not told")
        return
    rows = [json.loads(line) for line in phrases.read_text(encoding="utf-8").splitlines()]
    cases = [[row["lang"], turn] for row in rows for turn in row["turns"]]
    source = (ROOT_DIR / "platform/config/static/site/chat-language.js").read_text(encoding="utf-8")
    told = amara.evaluate(
        "(cases) => { "
        + source.replace("export ", "")
        + " return cases.map(([tag, text]) => [tag, languageOf(text)]); }",
        cases,
    )
    right, wrong = sum(a == b for a, b in told), sum(bool(b) and a != b for a, b in told)
    print(f"{len(told)} phrases: {right} told, {wrong} told wrongly")
    assert right / len(told) > 0.75
    assert wrong / len(told) < 0.02


def test_a_name_behind_an_at_is_found_by_keyboard_and_told_to_whom_it_means(visit: Visit, site: Site):
    amara, priya = both(visit, site)
    room = amara.url.rstrip("/").rsplit("/", 1)[1]
    priya.goto(f"{site.url}/events/")  # she looks at something else
    amara.locator("#text").press_sequentially("Hello @Pri", delay=20)
    expect(amara.get_by_role("option")).to_have_count(1)
    amara.keyboard.press("Enter")
    amara.locator("#text").press_sequentially("are you coming?")
    amara.keyboard.press("Enter")
    expect(amara.locator(f'[data-last-room="{room}"]')).to_have_text(re.compile("^You: Hello @Priya"))

    expect(amara.locator(".chat-named").last).to_have_text(re.compile("@Priya"))
    expect(priya.locator("[data-unread]:visible").first).to_be_visible()  # live, on every page
    priya.goto(f"{site.url}/chat/")
    expect(priya.locator(f'[data-mentions-room="{room}"] [data-unread-number]')).to_have_text("1")
    priya.goto(f"{site.url}/chat/{room}/")
    expect(bubble(priya, "are you coming?").locator(".chat-named--me")).to_have_count(1)
    expect(bubble(priya, "are you coming?")).to_have_class(re.compile("chat-message--names-me"))
    priya.goto(f"{site.url}/chat/")
    expect(priya.locator(f'[data-mentions-room="{room}"]')).to_be_hidden()


def test_what_was_read_on_a_page_without_a_line_is_read_on_the_next(visit: Visit, site: Site):
    amara, priya_at = visit(), visit(phone=True)
    lines = {"open": True}
    priya_at.context.route_web_socket(
        "**/ws/", lambda line: line.connect_to_server() if lines["open"] else line.close()
    )
    page = enter(amara, "member")
    room = page.url.rstrip("/").rsplit("/", 1)[1]
    priya = enter(priya_at, "host", "/chat/")
    say(page, "Read in a tunnel")
    unread = priya.locator(f'[data-unread-room="{room}"]')
    expect(unread).to_be_visible()
    before = unread.inner_text()
    lines["open"] = False
    priya.goto(f"{site.url}/chat/{room}/")
    expect(priya.locator(".chat-message").last).to_be_attached()
    priya.locator(".chat-log").evaluate("log => log.scrollTop = log.scrollHeight")
    expect(bubble(priya, "Read in a tunnel")).to_be_visible()
    lines["open"] = True
    priya.goto(f"{site.url}/chat/")
    expect(unread).not_to_have_text(before)
    priya.reload()
    expect(unread).not_to_have_text(before)  # the server knows


def test_what_was_never_on_the_screen_is_not_read_and_what_was_seen_to_the_end_is(visit: Visit, site: Site):
    reader = visit()
    page = enter(reader, "member")
    room = page.url.rstrip("/").rsplit("/", 1)[1]
    here = f"circles.room('{room}')"
    page.locator(".chat-log").evaluate("log => log.scrollTop = log.scrollHeight")
    page.wait_for_function(f"() => {here}.head && {here}.read[0] >= {here}.head")
    reader.goto("/chat/")
    unread = page.locator(f'[data-unread-room="{room}"]')
    expect(unread).to_be_hidden()
    site.change(
        "import uuid; from community.models import Member; from realtime import chat, ids; "
        f"room = ids.decode('{room}'); priya = Member.objects.get(display_name='Priya Raman'); "
        "[chat.post(priya, room, f'unseen {i}', uuid.uuid4()) for i in range(120)]"
    )
    for _visit in range(2):  # what lies between is still to be found the second time
        reader.goto(f"/chat/{room}/")
        page.wait_for_function(f"() => {here}.head")
        expect(page.locator("[data-first-unread]")).to_be_visible()
        reader.goto("/chat/")
        expect(unread).to_contain_text("120")
    reader.goto(f"/chat/{room}/")
    page.locator(".chat-log").evaluate("log => log.scrollTop = log.scrollHeight")
    expect(bubble(page, "unseen 119")).to_be_in_viewport()
    page.wait_for_function(f"() => {here}.head && {here}.read[0] >= {here}.head")
    expect(unread).to_be_hidden()
    expect(page.locator(".chat-new")).to_have_count(1)


def test_a_room_that_is_open_shows_nothing_as_new_and_says_at_once_that_there_is_no_network(
    visit: Visit, site: Site
):
    amara, priya = both(visit, site)
    path = priya.url.removeprefix(site.url)
    priya.locator(".chat-log").evaluate("log => log.scrollTop = log.scrollHeight")
    priya.goto(f"{site.url}/chat/")
    expect(priya.locator(f'[data-unread-room="{path.split("/")[2]}"]')).to_be_hidden()
    priya.goto(f"{site.url}{path}")
    say(amara, "Said while both look")
    expect(bubble(priya, "Said while both look")).to_be_in_viewport()
    expect(priya.locator(".chat-new")).to_have_count(0)
    line = priya.locator("[data-connection]")
    expect(line).to_be_hidden()
    priya.context.set_offline(True)
    expect(line).to_contain_text("offline")
    priya.context.set_offline(False)
    expect(line).to_be_hidden()


def test_a_long_history_is_walked_to_and_fro_without_a_gap(visit: Visit, site: Site):
    site.change(
        "import uuid; from community.models import Member; from realtime import chat; from realtime.models import Room; "
        f"room = Room.objects.get(title='{ROOM}'); ana = room.participants.filter(left_seq=None).first().member; "
        "[chat.post(ana, room.pk, f'line {i}.', uuid.uuid4()) for i in range(180)]"
    )
    amara, priya = both(visit, site)
    log = amara.locator(".chat-log")
    numbers: Callable[[], list[int]] = lambda: [  # noqa: E731 - read again and again
        int(found.group(1)) for text in story(amara) if (found := re.fullmatch(r"line (\d+)\.", text))
    ]
    expect(bubble(amara, "line 179.")).to_have_count(1)
    while 0 not in numbers():
        before = len(numbers())
        log.evaluate("log => log.scrollTop = 0")
        amara.wait_for_function("n => document.querySelectorAll('.chat-message').length > n", arg=before)
    assert numbers() == list(range(180))

    bubble(amara, "line 3.").locator("summary").click()
    bubble(amara, "line 3.").locator('[data-do="reply"]').click()
    say(amara, "This one I mean")
    answer = bubble(priya, "This one I mean")
    expect(answer).to_have_count(1)
    answer.locator(".chat-quote").click()  # far above what she has loaded
    expect(bubble(priya, "line 3.").last).to_be_focused()
    expect(bubble(priya, "line 3.").last).to_be_in_viewport()
    say(amara, "Said while she reads old things")
    mine = [text for text in story(priya) if text.startswith("line")]
    numbers_of = [int(text[5:-1]) for text in mine]
    assert numbers_of == list(range(numbers_of[0], numbers_of[-1] + 1)), "one stretch without a gap"
    while not bubble(priya, "Said while she reads old things").count():
        count = priya.locator(".chat-message").count()
        priya.locator(".chat-log").evaluate("log => log.scrollTop = log.scrollHeight")
        priya.wait_for_function("n => document.querySelectorAll('.chat-message').length > n", arg=count)
    mine = [int(text[5:-1]) for text in story(priya) if text.startswith("line")]
    assert mine == list(range(mine[0], 180))


def test_two_who_lose_their_line_by_turns_tell_the_same_story(visit: Visit, site: Site):
    amara, priya = both(visit, site)
    for turn in range(4):
        away = (amara, priya)[turn % 2]
        away.context.set_offline(True)
        for number in range(3):
            say(amara, f"Amara {turn}.{number}")
            say(priya, f"Priya {turn}.{number}")
        expect(away.locator(".chat-message--waiting")).to_have_count(3)
        away.context.set_offline(False)
        expect(away.locator(".chat-message--waiting")).to_have_count(0, timeout=20_000)
    for page in (amara, priya):
        for turn in range(4):
            for name in ("Amara", "Priya"):
                expect(bubble(page, f"{name} {turn}.2")).to_have_count(1, timeout=20_000)
    wanted = re.compile(r"(Amara|Priya) \d\.\d")
    stories = [[text for text in story(page) if wanted.fullmatch(text)] for page in (amara, priya)]
    assert stories[0] == stories[1]
    assert len(stories[0]) == len(set(stories[0])) == 24
    for name in ("Amara", "Priya"):
        assert [text for text in stories[0] if text.startswith(name)] == [
            f"{name} {turn}.{number}" for turn in range(4) for number in range(3)
        ]


def test_a_closed_tab_keeps_what_was_written_and_the_next_one_sends_it(visit: Visit, site: Site):
    amara, priya = both(visit, site)
    amara.context.set_offline(True)
    say(amara, "Written on the train")
    expect(amara.locator(".chat-message--waiting")).to_have_count(1)
    address, context = amara.url, amara.context
    amara.close()
    context.set_offline(False)
    tab = context.new_page()
    tab.goto(address)
    expect(bubble(priya, "Written on the train")).to_have_count(1, timeout=20_000)
    expect(bubble(tab, "Written on the train")).to_have_count(1)


def test_without_a_websocket_messages_come_and_go_all_the_same(visit: Visit, site: Site):
    walled, priya = visit(), visit(phone=True, language="de")
    walled.context.route_web_socket("**/ws/", lambda line: line.close())
    walled.context.add_init_script("Math.random = () => 0.999")  # the longest of all waits
    amara = enter(walled, "member")
    enter(priya, "host", amara.url.removeprefix(site.url))
    say(amara, "Through the wall")
    expect(bubble(priya.page, "Through the wall")).to_have_count(1, timeout=30_000)
    expect(amara.locator(".chat-message--waiting")).to_have_count(0)
    say(priya.page, "Ich höre dich")
    expect(bubble(amara, "Ich höre dich")).to_have_count(1, timeout=30_000)
    expect(amara.locator("[data-connection]")).to_contain_text("quick connection")


def test_a_line_that_could_not_be_taken_in_is_tried_again(visit: Visit, site: Site):
    """As when the database is started again: the hello of a page is refused, and its line stays open."""
    amara = visit()
    refused: list[WebSocketRoute] = []

    def first_time(line: WebSocketRoute) -> None:
        server = line.connect_to_server()
        if not refused:
            refused.append(line)
            said = {"type": "error", "code": "too_fast", "detail": "Later.", "retry_after": 1}
            line.on_message(lambda _hello: line.send(json.dumps(said)))
            server.on_message(lambda _frame: None)

    page = enter(amara, "member")
    amara.context.route_web_socket("**/ws/", first_time)
    page.reload()
    priya = visit(phone=True)
    enter(priya, "host", page.url.removeprefix(site.url))
    assert refused
    say(priya.page, "Are you there?")
    expect(bubble(page, "Are you there?")).to_have_count(1, timeout=10_000)
    say(page, "I am")
    expect(bubble(priya.page, "I am")).to_have_count(1, timeout=10_000)


def test_by_keyboard_alone(visit: Visit, site: Site):
    amara, priya = both(visit, site)
    say(amara, "By keyboard")
    expect(bubble(priya, "By keyboard")).to_have_count(1)
    page = amara
    page.locator("#text").focus()
    page.keyboard.press("ArrowUp")  # my last one, to be changed
    expect(page.locator("#text")).to_have_value("By keyboard")
    page.locator("#text").fill("By keyboard, changed")
    page.keyboard.press("Enter")
    expect(bubble(priya, "By keyboard, changed")).to_have_count(1)
    page.locator(".chat-log").focus()
    page.keyboard.press("ArrowUp")
    expect(bubble(page, "By keyboard, changed")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(bubble(priya, "By keyboard, changed").locator(".chat-reactions button")).to_have_count(1)


def test_who_is_here_is_seen_only_after_a_yes(visit: Visit, site: Site):
    amara, priya = both(visit, site)
    room = amara.url
    amara.goto(f"{site.url}/chat/shown/")
    amara.locator('button[value="1"]').click()
    amara.wait_for_url("**/chat/")
    amara.goto(room)
    expect(priya.locator("[data-here]")).to_contain_text("Amara", timeout=15_000)
    amara.locator("#text").press_sequentially("I am wr")
    expect(priya.locator("[data-typing]")).to_contain_text("Amara")


def test_the_list_follows_what_is_said_changed_and_removed_and_puts_it_on_top(visit: Visit, site: Site):
    amara, priya = both(visit, site)
    room = amara.url.rstrip("/").rpartition("/")[2]
    priya.goto(f"{site.url}/chat/")
    row = priya.locator(".chat-list > li").filter(has=priya.locator(f'[data-last-room="{room}"]'))
    say(amara, "first thought")
    expect(row.locator("[data-last-room]")).to_have_text("Amara Okafor: first thought")
    expect(row.locator("time")).to_have_text(re.compile(r"^\d\d:\d\d$"))
    expect(priya.locator(".chat-list > li").first.locator("[data-last-room]")).to_have_text(
        re.compile("first thought")
    )

    amara.locator("#text").press("ArrowUp")
    amara.locator("#text").fill("second thought")
    amara.locator("#text").press("Enter")
    expect(row.locator("[data-last-room]")).to_have_text("Amara Okafor: second thought")
    amara.on("dialog", lambda dialog: dialog.accept())
    message = bubble(amara, "second thought")
    message.locator("summary").click()
    message.get_by_role("button", name="Remove").click()
    expect(row.locator("[data-last-room]")).to_have_text("This message was removed.")


FELL_BEHIND = """document.addEventListener("DOMContentLoaded", () => {
  for (const last of document.querySelectorAll("[data-last-room]")) Object.assign(last, { textContent: "old" }).dataset.head = 0;
})"""


def test_a_list_that_is_behind_when_its_line_comes_is_asked_for_again(visit: Visit, site: Site):
    """At teardown: without a word of the content security policy."""
    amara, _priya = both(visit, site)
    room = amara.url
    amara.add_init_script(FELL_BEHIND)
    for url in (room, f"{site.url}/chat/"):
        amara.goto(url)
        expect(amara.locator("[data-last-room]", has_text=re.compile("^old$"))).to_have_count(0)
        assert amara.locator(".chat-list > li").count() > 1
        expect(amara.locator(".chat-list [aria-current]")).to_have_count(int(url == room))


def test_what_is_too_long_stays_and_says_so(visit: Visit, site: Site):
    amara, _priya = both(visit, site)
    field = amara.locator("#text")
    field.fill("😀" * 4001)
    expect(amara.locator("[data-length]")).to_have_text(
        "This has 4001 characters. A message can have 4000 at most."
    )
    field.press("Enter")
    expect(field).to_have_value("😀" * 4001)
    field.fill("😀" * 4000)
    expect(amara.locator("[data-length]")).to_be_hidden()
    field.press("Enter")
    expect(bubble(amara, "😀😀😀")).to_have_count(1)


def test_a_link_shows_where_it_leads(visit: Visit, site: Site):
    amara, _priya = both(visit, site)
    say(amara, "http://аррӏе.com/a and https://bank.be@evil.example/ and https://example.org/ü")
    said = bubble(amara, "evil.example")
    expect(said.locator("[data-text] a")).to_have_text(
        ["http://xn--80ak6aa92e.com/a", "https://example.org/ü"]
    )
    say(amara, "see (https://example.org/b) and https://example.org/Euregio_(Region), https://example.org/(c")
    expect(bubble(amara, "Region").locator("[data-text] a")).to_have_text(
        ["https://example.org/b", "https://example.org/Euregio_(Region)", "https://example.org/(c"]
    )


def test_a_menu_stays_in_view_and_gives_the_focus_back(visit: Visit, site: Site):
    amara, _priya = both(visit, site)
    say(amara, "a long thought " * 30)
    for size in (
        {"width": 1200, "height": 850},
        {"width": 1000, "height": 700},
        {"width": 640, "height": 400},
    ):
        amara.set_viewport_size(size)  # type: ignore[arg-type]
        for message in (
            amara.locator(".chat-message:not(.chat-message--mine)").last,
            bubble(amara, "a long thought"),
        ):
            message.locator("summary").click()
            inside = "(e) => { const r = e.getBoundingClientRect(); return r.left >= 0 && r.right <= innerWidth && (innerWidth < 640 || r.right <= e.closest('.chat-room').getBoundingClientRect().right); }"
            menu = message.locator(".chat-actions").element_handle()
            amara.wait_for_function(inside, arg=menu, timeout=5_000)  # it is placed after it has opened
            message.locator("[data-emoji]").first.focus()
            amara.keyboard.press("Escape")
            expect(message.locator("summary")).to_be_focused()
        field = amara.locator("#text").bounding_box()
        bar = amara.locator(".nav").bounding_box()
        assert field is not None
        assert bar is None or bar["x"] < field["x"] or bar["y"] >= field["y"] + field["height"], size
