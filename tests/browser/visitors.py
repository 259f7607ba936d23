"""One person's screen: a browser context of its own, with what a test may ask of it."""

import io
import os
from pathlib import Path
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

import zxingcpp
from PIL import Image
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Request, Route
from site_under_test import ROOT

PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 900}
AXE = ROOT / "node_modules/axe-core/axe.min.js"
SHOTS = ROOT / "docs/screenshots"
Person = Literal["member", "partner", "host", "door", "manager", "partner_staff"]


class Visitor:
    """A browser context and its page. `complaints` collects console errors, crashes and requests to strangers."""

    open_screens: ClassVar[list["Visitor"]] = []

    def __init__(
        self,
        browser: Browser,
        url: str,
        *,
        language: str = "en",
        phone: bool = False,
        dark: bool = False,
        javascript: bool = True,
    ) -> None:
        self.url, self.complaints, self.number = url, list[str](), len(self.open_screens) + 1
        self.may_fail: set[int] = set()  # statuses a test provokes: the console names them
        self.context = browser.new_context(
            base_url=url,
            locale={"en": "en-GB", "nl": "nl-NL", "de": "de-DE", "fr": "fr-FR"}[language],
            viewport=PHONE if phone else DESKTOP,
            has_touch=phone,
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
            java_script_enabled=javascript,
            permissions=["camera"],
        )
        self.context.set_default_timeout(10_000)
        self.context.route(lambda address: not self._is_ours(address), self._refuse)
        self.page = self.context.new_page()
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(f"{self.page.url}: {error}"))
        self.open_screens.append(self)

    def close(self) -> None:
        self.open_screens.remove(self)
        self.context.close()

    def _is_ours(self, address: str) -> bool:
        parts = urlsplit(address)
        return parts.scheme in {"data", "blob"} or parts.netloc == urlsplit(self.url).netloc

    def _refuse(self, route: Route, request: Request) -> None:
        self.complaints.append(f"{self.page.url}: asks a stranger: {request.url}")
        route.abort()

    def _heard(self, message: ConsoleMessage) -> None:
        provoked = any(f"status of {status}" in message.text for status in self.may_fail)
        if message.type == "error" and not provoked and "net::ERR_" not in message.text:
            self.complaints.append(f"{self.page.url}: {message.text}")

    def goto(self, path: str) -> Page:
        """Open a page of the site; anything but a good answer fails."""
        answer = self.page.goto(path)
        assert answer and answer.ok, f"{path}: {answer and answer.status}"
        return self.page

    def sign_in(self, person: Person) -> Page:
        """Be one of the demo's six people, by the demo page's own button."""
        self.goto("/demo/")
        self.page.locator(f'button[name="person"][value="{person}"]').click()
        self.page.wait_for_url(f"{self.url}/")
        return self.page

    def axe(self) -> list[str]:
        """What axe-core finds serious or critical on the page as it is now, a line each."""
        self.page.evaluate(AXE.read_text(encoding="utf-8"))
        found: dict[str, Any] = self.page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{self.page.url} {fault['id']} ({fault['impact']}): {fault['help']} at {node['target']}"
            for fault in found["violations"]
            if fault["impact"] in {"serious", "critical"}
            for node in fault["nodes"]
        ]

    def shot(self, name: str) -> None:
        """With SHOTS=1: the page on a phone and a desktop, light and dark, into docs/screenshots."""
        if os.environ.get("SHOTS") != "1":
            return
        SHOTS.mkdir(parents=True, exist_ok=True)
        before = self.page.viewport_size
        for screen, size in {"phone": PHONE, "desktop": DESKTOP}.items():
            self.page.set_viewport_size(size)  # type: ignore[arg-type]
            for scheme in ("light", "dark"):
                self.page.emulate_media(color_scheme=scheme)
                self.page.screenshot(path=SHOTS / f"{name}-{screen}-{scheme}.png")
        self.page.emulate_media(color_scheme=None)
        if before:
            self.page.set_viewport_size(before)


def read_qr(shown: Locator) -> tuple[str, Image.Image]:
    """The text of the QR code an element shows, and its picture."""
    picture = Image.open(io.BytesIO(shown.screenshot())).convert("RGB")
    codes = zxingcpp.read_barcodes(picture)
    assert codes, "no QR code to be read there"
    return codes[0].text, picture


def film(picture: Image.Image, path: Path) -> Path:
    """A video for the fake camera: somebody holds this picture, a little unsteadily (MJPEG: JPEGs one after the other)."""
    held = picture.resize((400, round(400 * picture.height / picture.width)))
    held.thumbnail((420, 420))
    with path.open("wb") as film:
        for angle in range(-8, 9, 2):
            frame = Image.new("RGB", (640, 480), (120, 130, 140))
            turned = held.rotate(
                angle, resample=Image.Resampling.BICUBIC, expand=True, fillcolor=(120, 130, 140)
            )
            frame.paste(turned, ((640 - turned.width) // 2, (480 - turned.height) // 2))
            frame.save(film, "JPEG", quality=90)
    return path
