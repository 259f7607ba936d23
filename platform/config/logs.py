"""How a line of the log looks: readable on a terminal, JSON in production; no text, code or address of a person in either."""

import logging

import structlog
from django.conf import settings


def line_formatter() -> logging.Formatter:
    """The formatter of every handler: JSON where the site is public, one coloured line elsewhere."""
    shared: list[structlog.types.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: structlog.types.Processor = (
        structlog.dev.ConsoleRenderer()
        if settings.DEMO or settings.DEBUG
        else structlog.processors.JSONRenderer()
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            last,
        ],
    )
