"""The one place where the time is read.

A server started for a test may be given another hour: the file named by CLOCK_FILE holds a number of
seconds that is added to the real time. It is read on each call, so a test moves a running server's clock
by writing to it. In production the variable is unset and nothing is read.
"""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

_shift_file = os.environ.get("CLOCK_FILE")


def now() -> datetime:
    """This moment, aware, in UTC."""
    moment = datetime.now(UTC)
    if _shift_file:
        moment += timedelta(seconds=float(Path(_shift_file).read_text() or 0))
    return moment
