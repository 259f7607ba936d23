"""The one place of the house that asks another server for something: an address that a person gave, and so a hostile one.

A name is looked up once, every address it has must be public, and the connection goes to the address that was checked.
A redirect is a new address and checked like the first. Nothing takes longer than ten seconds or more than so many bytes.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
import zlib
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from django.conf import settings

SECONDS = 10.0  # for everything together
MAX_BYTES = 2 * 1024 * 1024  # also of what is unpacked
MAX_REDIRECTS = 3
MAX_ADDRESSES = 4  # of one name that are tried
MAX_URL = 1000
PORTS = {443, 80}
REDIRECTS = {301, 302, 303, 307, 308}
SAFE = "%/:=&?~+!$,;'@()*-._"  # stays as it is in a path
# Addresses that lead into an IPv4 network through IPv6: what they reach is not said by what they are.
TRANSLATED = [
    ipaddress.ip_network(net)
    for net in ("::ffff:0:0/96", "::/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")
]

type Address = tuple[socket.AddressFamily, tuple[str, int]]


class Unreachable(Exception):
    """Nothing was got. `code`: address, private, name, refused, tls, redirects, status, large, encoding or slow."""

    def __init__(self, code: str, status: int = 0) -> None:
        super().__init__(code, status)
        self.code, self.status = code, status


@dataclass(frozen=True)
class Known:
    """What a server said about the state it sent last (RFC 9110 §8.8): asked with it, it may say “unchanged”."""

    etag: str = ""
    last_modified: str = ""


@dataclass(frozen=True)
class Fetched:
    """What came; `content` is None when nothing has changed since `Known`."""

    content: bytes | None
    known: Known


def checked(url: str, *, loopback: bool = False) -> str:
    """The address as it is asked for (webcal: means https:). Raises Unreachable address for one that nobody may give.

    Only https, the usual ports, no name and password in it. `loopback` is for tests: http to this machine, any port.
    """
    url = url.strip()
    if url[:9].lower() == "webcal://":
        url = f"https://{url[9:]}"
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").encode("idna").decode(), parts.port
    except ValueError as wrong:
        raise Unreachable("address") from wrong
    is_clean = len(url) <= MAX_URL and url.isprintable() and "\\" not in url and " " not in url
    is_known = parts.scheme == "https" or (loopback and parts.scheme == "http")
    is_usual = loopback or port is None or port in PORTS
    if not (is_clean and is_known and is_usual and host and "@" not in parts.netloc):
        raise Unreachable("address")
    netloc = f"[{host}]" if ":" in host else host
    netloc += f":{port}" if port else ""
    return parts._replace(
        netloc=netloc, path=quote(parts.path, SAFE), query=quote(parts.query, SAFE), fragment=""
    ).geturl()


def fetch(url: str, known: Known | None = None, *, loopback: bool = False) -> Fetched:
    """Get what is at an address. Outside any transaction: it takes up to ten seconds. Raises Unreachable."""
    deadline = monotonic() + SECONDS
    for _turn in range(MAX_REDIRECTS + 1):
        url = checked(url, loopback=loopback)
        found = _asked(urlsplit(url), known or Known(), deadline, loopback=loopback)
        if isinstance(found, Fetched):
            return found
        url = urljoin(url, found)
    raise Unreachable("redirects")


def is_public(address: str) -> bool:
    """An IP address that anybody in the internet may be reached at, and nothing inside."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:  # with a scope: fe80::1%eth0
        return False
    if ip.version == 6 and any(ip in net for net in TRANSLATED):
        return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


def _asked(parts: SplitResult, known: Known, deadline: float, *, loopback: bool) -> Fetched | str:
    """One request: what came, or where to ask instead. Raises Unreachable."""
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    line = _connected(_addresses(host, port, deadline, loopback=loopback), deadline)
    end, over = line.dup(), threading.Event()  # TLS takes the line over: its other handle stays ours
    # However slowly it drips, byte by byte: at the deadline the line is cut from outside.
    watch = threading.Timer(max(0.0, deadline - monotonic()), _cut, (end, over))
    watch.daemon = True
    watch.start()
    connection = http.client.HTTPConnection(host, port)
    try:
        connection.sock = _secured(line, host) if parts.scheme == "https" else line
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", target, headers=_headers(known))
        return _answer(connection.getresponse(), known)
    except ssl.SSLError as wrong:
        raise Unreachable("slow" if over.is_set() else "tls") from wrong
    except (OSError, http.client.HTTPException, ValueError, zlib.error) as wrong:
        raise Unreachable(
            "slow" if over.is_set() or isinstance(wrong, TimeoutError) else "refused"
        ) from wrong
    finally:
        watch.cancel()
        for handle in (connection, line, end):
            with suppress(OSError):
                handle.close()


def _addresses(host: str, port: int, deadline: float, *, loopback: bool) -> list[Address]:
    """Where a name is, asked once; all of it public, or none of it is used. Raises Unreachable."""
    found: list[Address] = []

    def look() -> None:
        with suppress(OSError, UnicodeError):
            for family, _kind, _protocol, _name, where in socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM
            ):
                found.append((family, (str(where[0]), port)))

    thread = threading.Thread(target=look, daemon=True)  # it cannot be interrupted: only waited for no longer
    thread.start()
    thread.join(max(0.0, deadline - monotonic()))
    if thread.is_alive():
        raise Unreachable("slow")
    if not found:
        raise Unreachable("name")
    inside = [ip for _family, (ip, _port) in found if not is_public(ip)]
    if inside and not (loopback and all(ipaddress.ip_address(ip).is_loopback for ip in inside)):
        raise Unreachable("private")
    return found[:MAX_ADDRESSES]


def _connected(addresses: list[Address], deadline: float) -> socket.socket:
    """A line to the first address that answers. Raises Unreachable."""
    for family, where in addresses:
        left = deadline - monotonic()
        if left <= 0:
            break
        line = socket.socket(family, socket.SOCK_STREAM)
        line.settimeout(left)
        try:
            line.connect(where)
        except OSError:
            line.close()
            continue
        return line
    raise Unreachable("slow" if deadline <= monotonic() else "refused")


def _secured(line: socket.socket, host: str) -> socket.socket:
    """TLS over a line to a checked address, for the name that was asked for. Raises ssl.SSLError."""
    return ssl.create_default_context().wrap_socket(line, server_hostname=host)


def _cut(line: socket.socket, over: threading.Event) -> None:
    over.set()
    with suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)


def _headers(known: Known) -> dict[str, str]:
    headers = {
        "Accept": "text/calendar, */*;q=0.1",
        "Accept-Encoding": "gzip",
        "User-Agent": f"EuregioCircles (+{settings.PUBLIC_URL})",
        "Connection": "close",
    }
    if known.etag:
        headers["If-None-Match"] = known.etag
    if known.last_modified:
        headers["If-Modified-Since"] = known.last_modified
    return headers


def _answer(response: http.client.HTTPResponse, known: Known) -> Fetched | str:
    if response.status in REDIRECTS and response.headers.get("Location"):
        return str(response.headers["Location"]).strip()
    if response.status == 304 and known != Known():
        return Fetched(None, known)
    if response.status != 200:
        raise Unreachable("status", response.status)
    said = Known(*(_kept(response.headers.get(name, "")) for name in ("ETag", "Last-Modified")))
    return Fetched(_body(response), said)


def _kept(header: str) -> str:
    """A header that is sent back as it came; one that cannot be is forgotten."""
    return header if len(header) <= 200 and header.isascii() and header.isprintable() else ""


def _body(response: http.client.HTTPResponse) -> bytes:
    """What is sent, unpacked, piece by piece and never more than allowed. Raises Unreachable."""
    encoding = (response.headers.get("Content-Encoding") or "identity").strip().lower()
    if encoding not in {"identity", "gzip", "x-gzip"}:
        raise Unreachable("encoding")
    unpack = None if encoding == "identity" else zlib.decompressobj(wbits=31)
    found, came = bytearray(), 0
    while piece := response.read(65_536):
        came += len(piece)
        found += unpack.decompress(piece, MAX_BYTES + 1 - len(found)) if unpack else piece
        if came > MAX_BYTES or len(found) > MAX_BYTES:
            raise Unreachable("large")
    if response.length:  # fewer bytes than promised
        raise Unreachable("refused")
    return bytes(found)
