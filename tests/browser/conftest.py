"""A real server, a real Chromium, and the people of the demo region on several screens."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Playwright, sync_playwright
from site_under_test import ROOT, Site, make_template
from visitors import Visitor

CHROMIUMS = ["chromium", "chromium-browser", "google-chrome", "chrome"]
CAMERA = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A var/ folder with the demo region and the static files, to copy from."""
    return make_template(tmp_path_factory.mktemp("template"))


@pytest.fixture(scope="module")
def site(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server of this module's own, on a fresh copy of the region. An error in its log, or an early end, fails the module."""
    site = Site(template, tmp_path_factory.mktemp("site") / "var")
    site.start()
    yield site
    site.stop()
    assert not site.complaints, "\n".join(site.complaints)


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as started:
        yield started


Launch = Callable[..., Browser]


@pytest.fixture(scope="session")
def launch(playwright: Playwright) -> Launch:
    """Starts a Chromium: `launch()`, or `launch(camera=file)` with a video file as its camera."""
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUMS)), None)
    assert path, "no Chromium: apt install chromium, or CHROMIUM=path"

    def start(camera: Path | None = None) -> Browser:
        watches = [*CAMERA, f"--use-file-for-fake-video-capture={camera}"] if camera else []
        alone = ["--no-sandbox"] if os.getuid() == 0 else []
        return playwright.chromium.launch(executable_path=path, args=[*alone, *watches])

    return start


@pytest.fixture(scope="session")
def browser(launch: Launch) -> Iterator[Browser]:
    browser = launch()
    yield browser
    browser.close()


@pytest.fixture
def visit(browser: Browser, site: Site) -> Iterator[Callable[..., Visitor]]:
    """Opens one more screen: `visit(language="de", phone=True, dark=True, javascript=False, browser=…)`.

    At the end of the test every screen must have stayed without console errors and strangers' addresses."""
    screens: list[Visitor] = []

    def open_screen(**wishes: object) -> Visitor:
        used = wishes.pop("browser", browser)
        assert isinstance(used, Browser)
        screens.append(Visitor(used, site.url, **wishes))  # type: ignore[arg-type]
        return screens[-1]

    yield open_screen
    complaints = [complaint for screen in screens for complaint in screen.complaints]
    for screen in screens:
        screen.close()
    assert not complaints, "\n".join(complaints)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """When a test fails, keep what its screens showed (var/browser/)."""
    report = yield
    if report.when == "call" and report.failed:
        for screen in Visitor.open_screens:
            kept = ROOT / "var/browser" / f"{item.name}-{screen.number}.png"
            kept.parent.mkdir(parents=True, exist_ok=True)
            screen.page.screenshot(path=kept)
            sys.stderr.write(f"\n{screen.page.url} looked like {kept.relative_to(ROOT)}\n")
    return report


def pytest_sessionfinish() -> None:
    """Children that a failed fixture left behind."""
    for child in Site.children:
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
