"""Public holidays of the three countries, in the reader's language."""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from importlib import import_module
from typing import Any

from django.utils.translation import get_language, gettext_lazy

COUNTRIES = {"BE": ("BE", None), "NL": ("NL", None), "DE-NW": ("DE", "NW")}
COUNTRY_NAMES = {
    "BE": gettext_lazy("Belgium"),
    "NL": gettext_lazy("the Netherlands"),
    "DE-NW": gettext_lazy("North Rhine-Westphalia"),
}
YEARS = range(2000, 2060)  # beyond, nobody knows the holidays


def holiday_on(day: date, country: str) -> str:
    """The public holiday of that day in one of COUNTRIES, in the language of the page; empty when it is none."""
    if day.year not in YEARS:
        return ""
    return str(_holidays(country, day.year, (get_language() or "en")[:2]).get(day, ""))


@lru_cache(maxsize=256)
def _holidays(country: str, year: int, language: str) -> Any:
    """Public holidays of one year. The package is heavy (0.3 s), so the first who asks loads it."""
    package = import_module("holidays")
    code, part = COUNTRIES[country]
    known = package.country_holidays(code).supported_languages
    spoken = language if language in known else "en_US"
    return package.country_holidays(code, subdiv=part, years=[year], language=spoken)
