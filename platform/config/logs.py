"""How a line of the log looks: readable on a terminal, JSON in production; no text, code or address of a person in either."""

import logging
import re

import structlog
from django.conf import settings

# Addresses that are keys: whoever reads the log could open them.
KEYS_IN_PATHS = re.compile(r"(/calendar/)[^\s\"'?]+")

# What a line of the security log may carry; whatever else is handed to the logger stays out.
SECURITY_FACTS = ("actor", "subject", "centre", "target", "route", "status")


def line_formatter() -> logging.Formatter:
    """The formatter of every handler: JSON where the site is public, one coloured line elsewhere."""
    is_private = settings.DEMO or settings.DEBUG
    return _formatter(structlog.dev.ConsoleRenderer() if is_private else structlog.processors.JSONRenderer())


def security_formatter() -> logging.Formatter:
    """The security log is JSON everywhere: its control characters are escaped, so that no line can be forged."""
    facts = structlog.stdlib.ExtraAdder(allow=SECURITY_FACTS)
    return _formatter(structlog.processors.JSONRenderer(), facts)


def _formatter(last: structlog.types.Processor, *more: structlog.types.Processor) -> logging.Formatter:
    shared: list[structlog.types.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        *more,
    ]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            _without_keys,
            last,
        ],
    )


def _without_keys(
    _logger: object, _method: str, line: structlog.types.EventDict
) -> structlog.types.EventDict:
    """A line with "…" where the address of a calendar has its key: Django names the path of a request that failed."""
    shown = {name: KEYS_IN_PATHS.sub(r"\1…", text) for name, text in line.items() if isinstance(text, str)}
    return {**line, **shown}
