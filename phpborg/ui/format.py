"""Numbers in words: bytes, rates, durations, ratios, shares. Pure, in the active language.

Each function gives a plain string, with no-break spaces so that a number never parts from its unit;
None, which means “not known”, is the caller's to show (see `templatetags/ui.py`).
"""

from __future__ import annotations

import math
from datetime import date

from django.utils import formats, translation

NBSP = "\u00a0"
UNITS = {
    "en": ("B", "kB", "MB", "GB", "TB", "PB", "EB"),
    "fr": ("o", "ko", "Mo", "Go", "To", "Po", "Eo"),
}
BIT_UNITS = ("bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s")
TIME_UNITS = {
    "en": {"day": "d", "hour": "h", "minute": "min", "second": "s", "millisecond": "ms"},
    "fr": {"day": "j", "hour": "h", "minute": "min", "second": "s", "millisecond": "ms"},
}


def _language() -> str:
    code = (translation.get_language() or "en")[:2]
    return code if code in UNITS else "en"


def day(value: date) -> str:
    """A day that cannot be misread: 7 Oct 2026, 7 oct. 2026."""
    return str(formats.date_format(value, {"en": "j M Y", "fr": "j N Y"}[_language()]))


def number(value: float, decimals: int = 0) -> str:
    """A number with the language's separators: 1,234.5 or 1 234,5."""
    text = formats.number_format(round(value, decimals), decimal_pos=decimals, use_l10n=True, force_grouping=True)
    return str(text).replace(" ", NBSP)


def _scaled(value: float, units: tuple[str, ...]) -> str:
    """Three significant digits at most, and the unit that keeps the number below 1000."""
    size, index = abs(float(value)), 0
    # 999.95 would be rounded to "1000"; it belongs to the next unit.
    while index < len(units) - 1 and size >= (999.5 if index == 0 else 999.95):
        size, index = size / 1000, index + 1
    decimals = 0 if index == 0 or size >= 99.95 else 2 if size < 9.995 else 1
    if index and round(size, decimals).is_integer():
        decimals = 0
    sign = "-" if value < 0 else ""
    return f"{sign}{number(size, decimals)}{NBSP}{units[index]}"


def byte_size(value: float) -> str:
    """Bytes in decimal units, as disks are sold: 1.4 GB, 1,4 Go."""
    return _scaled(value, UNITS[_language()])


def bit_rate(bytes_per_second: float) -> str:
    """A speed in bits, as networks are sold: 12.5 MB/s is 100 Mbit/s."""
    return _scaled(bytes_per_second * 8, BIT_UNITS)


def duration(seconds: float) -> str:
    """A span of time, two units at most: 850 ms, 42 s, 3 min 05 s, 2 h 07 min, 4 d 3 h."""
    unit = TIME_UNITS[_language()]
    seconds = float(seconds)
    if 0 < seconds < 0.9995:
        return f"{max(1, round(seconds * 1000))}{NBSP}{unit['millisecond']}"
    if seconds < 9.95 and not round(seconds, 1).is_integer():
        return f"{number(seconds, 1)}{NBSP}{unit['second']}"
    whole = max(0, round(seconds))
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return _pair(days, unit["day"], f"{hour}", unit["hour"], hide=hour == 0)
    if hours:
        return _pair(hours, unit["hour"], f"{minute:02}", unit["minute"], hide=minute == 0)
    if minutes:
        return _pair(minutes, unit["minute"], f"{second:02}", unit["second"], hide=second == 0)
    return f"{second}{NBSP}{unit['second']}"


def _pair(big: int, big_unit: str, small: str, small_unit: str, *, hide: bool) -> str:
    first = f"{number(big)}{NBSP}{big_unit}"
    return first if hide else f"{first}{NBSP}{small}{NBSP}{small_unit}"


def ratio(bigger: float, smaller: float) -> str | None:
    """How many times smaller: 2.4×; None when there is nothing to compare."""
    if not smaller or bigger < 0 or smaller < 0:
        return None
    times = bigger / smaller
    return f"{number(times, 0 if times >= 99.5 else 1)}×"


def percent(share: float, decimals: int = 0) -> str:
    """A share (0…1) in percent: 42% or 42 %. Less than everything is never shown as 100."""
    value = share * 100
    if value < 100:
        step = 10**decimals
        value = min(round(value, decimals), math.ceil(100 * step - 1) / step)
    text = number(value, decimals)
    return f"{text}{NBSP}%" if _language() == "fr" else f"{text}%"
