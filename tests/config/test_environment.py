"""The environment: what cannot be right stops the start with one clear line and no traceback."""

import os
import subprocess
import sys

import pytest
from django.conf import settings

LONG = "x" * 50
KEYS = f"1:{'ab' * 32}"


def start(**environment: str) -> subprocess.CompletedProcess[str]:
    """`manage.py check` with nothing but this environment."""
    bare = {"PATH": os.environ["PATH"], "VAR_DIR": str(settings.VAR)}
    command = [sys.executable, str(settings.ROOT / "platform/manage.py"), "check"]
    return subprocess.run(command, env=bare | environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({"PUBLIC_URL": "https://circles.example"}, "SECRET_KEY is not set"),
        ({"PUBLIC_URL": "https://circles.example", "SECRET_KEY": "short"}, "SECRET_KEY is too short"),
        ({"PUBLIC_URL": "https://circles.example", "SECRET_KEY": LONG}, "TICKET_KEYS is not set"),
        ({"PUBLIC_URL": "http://circles.example"}, "must begin with https://"),
        ({"PUBLIC_URL": "https://circles.example", "DEMO": "1"}, "DEMO=1 lets anybody sign in"),
        ({"TICKET_KEYS": "1:abc"}, "TICKET_KEYS must read"),
        ({"PORT": "abc"}, "PORT must be a whole number"),
        ({"DATABASE_URL": "mysql://x"}, "DATABASE_URL must begin with postgres://"),
        ({"EMAIL_URL": "pigeon://x"}, "EMAIL_URL must begin with"),
    ],
)
def test_what_cannot_be_right_stops_the_start_with_one_line(environment, line):
    refused = start(**environment)
    assert refused.returncode == 1
    assert line in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_a_public_site_with_its_secrets_starts():
    started = start(PUBLIC_URL="https://circles.example", SECRET_KEY=LONG, TICKET_KEYS=KEYS)
    assert (started.returncode, started.stderr.strip()[:200]) == (0, "")
