"""Asking other servers: only public ones, only what was checked, never long, never much. Real servers on this machine answer."""

import gzip
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from events import fetching
from events.fetching import Known, Unreachable, checked, fetch, is_public

CALENDAR = b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n"


class Answers(BaseHTTPRequestHandler):
    """Each path misbehaves in its own way."""

    asked: list[dict[str, str]]

    def do_GET(self) -> None:
        type(self).asked.append(dict(self.headers) | {"path": self.path})
        getattr(self, f"give_{self.path.strip('/').partition('/')[0].partition('?')[0]}", self.give_nothing)()

    def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def give_nothing(self) -> None:
        self.reply(404)

    def give_calendar(self) -> None:
        if self.headers.get("If-None-Match") == '"1"':
            return self.reply(304)
        return self.reply(200, CALENDAR, ETag='"1"', Last_Modified="Mon, 01 Mar 2027 00:00:00 GMT")

    def give_packed(self) -> None:
        self.reply(200, gzip.compress(CALENDAR), Content_Encoding="gzip")

    def give_bomb(self) -> None:
        self.reply(200, gzip.compress(b"\0" * 200_000_000), Content_Encoding="gzip")

    def give_brotli(self) -> None:
        self.reply(200, CALENDAR, Content_Encoding="br")

    def give_much(self) -> None:
        self.send_response(200)
        self.end_headers()
        try:
            while True:
                self.wfile.write(b"x" * 65_536)
        except OSError:
            pass

    def give_drops(self) -> None:
        """A byte now and then, for ever: no single wait is long."""
        try:
            for _ in range(1000):
                self.wfile.write(b"H")
                self.wfile.flush()
                threading.Event().wait(0.05)
        except OSError:
            pass

    def give_less(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(CALENDAR)

    def give_hop(self) -> None:
        left = int(self.path.rsplit("/", 1)[1])
        self.reply(302, Location=f"/hop/{left - 1}" if left > 1 else "/calendar")

    def give_inside(self) -> None:
        self.reply(302, Location="http://169.254.169.254/latest/meta-data/")

    def give_file(self) -> None:
        self.reply(302, Location="file:///etc/passwd")

    def log_message(self, *_given: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    Answers.asked = []
    yield from served(ThreadingHTTPServer(("127.0.0.1", 0), Answers))


def served(here: ThreadingHTTPServer, scheme: str = "http", name: str = "127.0.0.1") -> Iterator[str]:
    here.daemon_threads = True
    thread = threading.Thread(target=here.serve_forever, daemon=True)
    thread.start()
    yield f"{scheme}://{name}:{here.server_port}"
    here.shutdown()
    here.server_close()
    thread.join(5)


def refusal(url: str, *, loopback: bool = False) -> str:
    with pytest.raises(Unreachable) as no:
        fetch(url, loopback=loopback)
    return no.value.code


def test_what_is_there_comes_with_what_the_server_says_of_its_state(server: str):
    found = fetch(f"{server}/calendar", loopback=True)
    assert found.content == CALENDAR
    assert found.known == Known('"1"', "Mon, 01 Mar 2027 00:00:00 GMT")


def test_what_has_not_changed_is_not_sent_again(server: str):
    known = fetch(f"{server}/calendar", loopback=True).known
    again = fetch(f"{server}/calendar", known, loopback=True)
    assert (again.content, again.known) == (None, known)
    assert Answers.asked[1]["If-Modified-Since"] == known.last_modified


def test_what_comes_packed_is_unpacked_and_never_more_than_allowed(server: str):
    assert fetch(f"{server}/packed", loopback=True).content == CALENDAR
    assert refusal(f"{server}/bomb", loopback=True) == "large"
    assert refusal(f"{server}/brotli", loopback=True) == "encoding"


def test_a_stream_without_end_is_left_when_it_is_too_much(server: str):
    assert refusal(f"{server}/much", loopback=True) == "large"


def test_a_file_that_breaks_off_is_none(server: str):
    assert refusal(f"{server}/less", loopback=True) == "refused"


def test_three_redirects_are_followed_and_no_fourth(server: str):
    assert fetch(f"{server}/hop/3", loopback=True).content == CALENDAR
    assert refusal(f"{server}/hop/4", loopback=True) == "redirects"


def test_a_redirect_is_checked_like_the_first_address(server: str):
    assert refusal(f"{server}/inside", loopback=True) == "private"
    assert refusal(f"{server}/file", loopback=True) == "address"


def test_another_answer_says_its_number(server: str):
    with pytest.raises(Unreachable) as no:
        fetch(f"{server}/gone", loopback=True)
    assert (no.value.code, no.value.status) == ("status", 404)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/a.ics",
        "ftp://example.org/a.ics",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https://anna:secret@example.org/a.ics",
        "https://example.org:8443/a.ics",
        "https://example.org:99999/a.ics",
        "https://exa mple.org/",
        "https://example.org\\@evil.example/",
        "https:///a.ics",
        "https://[::1/",
        "https://example.org/" + "a" * 1000,
        "//example.org/a.ics",
        "",
    ],
)
def test_addresses_that_nobody_may_give(url: str):
    assert refusal(url) == "address"


def test_an_address_is_written_as_it_is_asked_for():
    assert checked(" webcal://example.org/a.ics#x ") == "https://example.org/a.ics"
    assert (
        checked("https://bücher.example/Käse?q=é%20b")
        == "https://xn--bcher-kva.example/K%C3%A4se?q=%C3%A9%20b"
    )


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "0.0.0.0", "10.0.0.1", "192.168.1.1", "169.254.169.254", "[::1]",
     "[::ffff:127.0.0.1]", "[::ffff:8.8.8.8]", "[64:ff9b::7f00:1]", "[fe80::1]", "[fd00::1]", "[2002:7f00:1::]"],
)  # fmt: skip
def test_nothing_inside_is_asked(host: str):
    assert refusal(f"https://{host}/a.ics") == "private"


@pytest.mark.parametrize(
    ("ip", "public"),
    [
        ("8.8.8.8", True), ("2606:4700::1111", True), ("100.64.0.1", False), ("224.0.0.1", False), ("255.255.255.255", False),
        ("192.0.2.1", False), ("198.18.0.1", False), ("172.16.0.1", False), ("0.1.2.3", False), ("::", False), ("ff02::1", False),
        ("::7f00:1", False), ("64:ff9b:1::1", False), ("2001::1", False), ("fe80::1%eth0", False), ("not an address", False),
    ],
)  # fmt: skip
def test_which_addresses_are_public(ip: str, public: bool):
    assert is_public(ip) is public


def test_a_name_is_looked_up_once_and_the_line_goes_where_it_was_found(
    server: str, monkeypatch: pytest.MonkeyPatch
):
    """A name that is public when it is checked and something inside when it is asked (DNS rebinding) gets no second look."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def look(host: str, *given: Any, **more: Any) -> Any:
        asked.append(host)
        return real("127.0.0.1" if len(asked) == 1 else "192.0.2.1", *given, **more)

    monkeypatch.setattr(socket, "getaddrinfo", look)
    url = server.replace("127.0.0.1", "calendar.example")
    assert fetch(f"{url}/calendar", loopback=True).content == CALENDAR
    assert asked == ["calendar.example"]
    assert Answers.asked[0]["Host"].startswith("calendar.example:")


def test_a_name_with_one_address_inside_is_not_asked_at_all(monkeypatch: pytest.MonkeyPatch):
    both = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, 443)) for ip in ("8.8.8.8", "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_given, **_more: both)
    assert refusal("https://calendar.example/") == "private"


# TLS


def certificate(folder: Path, name: str) -> Path:
    """A certificate for `name` that vouches for itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(who).issuer_name(who).public_key(key.public_key())
    made = (
        made.serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
    )
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    path = folder / f"{name}.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM) + secret)
    return path


def secure_server(paper: Path) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(paper)
    Answers.asked = []
    here = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    here.socket = context.wrap_socket(here.socket, server_side=True)
    yield from served(here, "https", "localhost")


@pytest.mark.parametrize(("name", "trusted", "expected"), [("localhost", True, "calendar"), ("elsewhere.example", True, "tls"), ("localhost", False, "tls")])  # fmt: skip
def test_the_certificate_is_that_of_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, trusted: bool, expected: str
):
    paper = certificate(tmp_path, name)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(paper))
    for url in secure_server(paper):
        if expected == "tls":
            assert refusal(f"{url}/calendar", loopback=True) == "tls"
        else:
            assert fetch(f"{url}/calendar", loopback=True).content == CALENDAR


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_server_that_drips_is_left_at_the_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
):
    """Also when TLS holds the line."""
    paper = certificate(tmp_path, "localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(paper))
    monkeypatch.setattr(fetching, "SECONDS", 0.7)
    Answers.asked = []
    here = (
        secure_server(paper) if scheme == "https" else served(ThreadingHTTPServer(("127.0.0.1", 0), Answers))
    )
    for url in here:
        began = monotonic()
        assert refusal(f"{url}/drops", loopback=True) == "slow"
        assert monotonic() - began < 3
