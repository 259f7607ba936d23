"""The proof that talk never loses a line, for a few seconds: `make soak` runs the same for as long as one likes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

from tests import services

CHECKER = Path(__file__).resolve().parents[1] / "load/checker.py"
SECONDS = os.environ.get("CHECKER_S", "5")
SEED = os.environ.get("CHECKER_SEED", "1")
LATE_S = "3"  # it promises two seconds, to which the soak holds it; these cores are others' too


def stack() -> str:
    """The one these tests run on. The checker kills its servers, so it brings them itself."""
    if not settings.REDIS_URL:
        return "sqlite"
    services.programs()  # raises with the name of what must be installed
    return "postgres"


def check(*options: str, seconds: str = SECONDS) -> subprocess.CompletedProcess[str]:
    """Run the checker; what it printed last is its figures as JSON."""
    command = [sys.executable, str(CHECKER), "--seconds", seconds, "--seed", SEED, "--late", LATE_S]
    return subprocess.run([*command, *options], capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.alone
def test_nobody_loses_a_line_while_everything_under_them_is_killed() -> None:
    ended = check("--stack", stack())
    assert ended.returncode == 0, ended.stdout[-8000:] + ended.stderr[-4000:]
    assert '"violations": {}' in ended.stdout


@pytest.mark.alone
def test_a_restart_under_load_says_goodbye_and_loses_nothing() -> None:
    """Where there are two processes one takes over from the other, and nobody is without a line for three seconds."""
    ended = check("--stack", stack(), "--rolling", seconds="1")
    assert ended.returncode == 0, ended.stdout[-8000:] + ended.stderr[-4000:]


@pytest.mark.parametrize(
    ("mistake", "seen_as"),
    [
        ("ack-before-commit", "lost"),
        ("key-before-lock", "doubled"),
        ("seq-from-a-sequence", "log"),
        ("read-before-subscribe", "gap"),
    ],
)
def test_a_log_with_a_mistake_does_not_pass(mistake: str, seen_as: str) -> None:
    ended = check("--stack", stack(), "--broken", mistake, "--only-lines", "--patience", "2", seconds="4")
    assert ended.returncode == 1, ended.stdout[-4000:] + ended.stderr[-4000:]
    assert "\n{\n" in ended.stdout, ended.stdout[-2000:] + ended.stderr[-4000:]
    figures = json.loads(ended.stdout[ended.stdout.rindex("\n{\n") :])
    assert figures["violations"].get(seen_as), figures
