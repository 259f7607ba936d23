"""Public holidays of the three countries, in the reader's language."""

from __future__ import annotations

from datetime import date
from functools import cache, lru_cache
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
    """The public holiday of that day in one of COUNTRIES, in the language of the page; empty when it is none.

    Where the country's own list lacks the language, it is called as a neighbour who has it calls the holiday of that day,
    and what only this country has as it is called there.
    """
    if day.year not in YEARS:
        return ""
    language = (get_language() or "en")[:2]
    local = str(_holidays(country, day.year, language).get(day, ""))
    if not local or _speaks(country, language):
        return local
    others = (
        _holidays(other, day.year, language).get(day) for other in COUNTRIES if _speaks(other, language)
    )
    return str(next(filter(None, others), local))


@cache
def _speaks(country: str, language: str) -> bool:
    known = import_module("holidays").country_holidays(COUNTRIES[country][0]).supported_languages
    return language == "en" or language in known


@lru_cache(maxsize=256)
def _holidays(country: str, year: int, language: str) -> Any:
    """Public holidays of one year. The package is heavy (0.3 s), so the first who asks loads it."""
    package = import_module("holidays")
    code, part = COUNTRIES[country]
    own = package.country_holidays(code)
    spoken = "en_US" if language == "en" else language
    spoken = spoken if spoken in own.supported_languages else own.default_language
    return package.country_holidays(code, subdiv=part, years=[year], language=spoken)
