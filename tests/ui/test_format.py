"""Numbers in words, in both languages."""

from __future__ import annotations

import math

import pytest
from django.utils import translation
from hypothesis import given
from hypothesis import strategies as st

from phpborg.ui import format as words


def said(function, *values, language):
    with translation.override(language):
        text = function(*values)
    return text.replace("\u00a0", " ").replace("\u202f", " ") if text is not None else None


@pytest.mark.parametrize(
    ("value", "english", "french"),
    [
        (0, "0 B", "0 o"),
        (1, "1 B", "1 o"),
        (999, "999 B", "999 o"),
        (1000, "1 kB", "1 ko"),
        (1234, "1.23 kB", "1,23 ko"),
        (12_340, "12.3 kB", "12,3 ko"),
        (123_400, "123 kB", "123 ko"),
        (999_960, "1 MB", "1 Mo"),
        (1_400_000_000, "1.40 GB", "1,40 Go"),
        (28_600_000_000, "28.6 GB", "28,6 Go"),
        (3 * 10**12, "3 TB", "3 To"),
        (5 * 10**15, "5 PB", "5 Po"),
        (12_345 * 10**18, "12,345 EB", "12 345 Eo"),
        (-1_400_000, "-1.40 MB", "-1,40 Mo"),
    ],
)
def test_bytes_are_decimal_as_disks_are_sold(value, english, french):
    assert said(words.byte_size, value, language="en") == english
    assert said(words.byte_size, value, language="fr") == french


@pytest.mark.parametrize(
    ("bytes_per_second", "english", "french"),
    [
        (0, "0 bit/s", "0 bit/s"),
        (12, "96 bit/s", "96 bit/s"),
        (30_000, "240 kbit/s", "240 kbit/s"),
        (12_500_000, "100 Mbit/s", "100 Mbit/s"),
        (187_500_000, "1.50 Gbit/s", "1,50 Gbit/s"),
    ],
)
def test_rates_are_bits_as_networks_are_sold(bytes_per_second, english, french):
    assert said(words.bit_rate, bytes_per_second, language="en") == english
    assert said(words.bit_rate, bytes_per_second, language="fr") == french


@pytest.mark.parametrize(
    ("seconds", "english", "french"),
    [
        (0, "0 s", "0 s"),
        (0.0002, "1 ms", "1 ms"),
        (0.85, "850 ms", "850 ms"),
        (0.9999, "1 s", "1 s"),
        (3.52, "3.5 s", "3,5 s"),
        (9.97, "10 s", "10 s"),
        (42, "42 s", "42 s"),
        (59.6, "1 min", "1 min"),
        (185, "3 min 05 s", "3 min 05 s"),
        (3599.7, "1 h", "1 h"),
        (7620, "2 h 07 min", "2 h 07 min"),
        (7659, "2 h 07 min", "2 h 07 min"),
        (86_400, "1 d", "1 j"),
        (4 * 86_400 + 3 * 3600 + 59, "4 d 3 h", "4 j 3 h"),
    ],
)
def test_durations_have_two_units_at_most(seconds, english, french):
    assert said(words.duration, seconds, language="en") == english
    assert said(words.duration, seconds, language="fr") == french


@pytest.mark.parametrize(
    ("share", "english", "french"),
    [
        (0, "0%", "0 %"),
        (0.424, "42%", "42 %"),
        (0.996, "99%", "99 %"),
        (0.99999, "99%", "99 %"),
        (1, "100%", "100 %"),
        (1.5, "150%", "150 %"),
    ],
)
def test_less_than_everything_is_never_100_percent(share, english, french):
    assert said(words.percent, share, language="en") == english
    assert said(words.percent, share, language="fr") == french


def test_percent_with_decimals():
    assert said(words.percent, 0.99996, 1, language="en") == "99.9%"
    assert said(words.percent, 0.1234, 1, language="fr") == "12,3 %"


@pytest.mark.parametrize(
    ("bigger", "smaller", "expected"),
    [(28.6, 1.2, "23.8×"), (10, 10, "1.0×"), (1000, 1, "1,000×"), (0, 5, "0.0×"), (5, 0, None), (-1, 5, None)],
)
def test_ratios(bigger, smaller, expected):
    assert said(words.ratio, bigger, smaller, language="en") == expected


def test_numbers_are_grouped_as_the_language_does():
    assert said(words.number, 1_273_856, language="en") == "1,273,856"
    assert said(words.number, 1_273_856, language="fr") == "1 273 856"


def test_an_unknown_language_reads_english():
    with translation.override("de"):
        assert words.byte_size(10).endswith("B")


@given(st.integers(min_value=0, max_value=10**21))
def test_a_size_keeps_its_value_to_one_percent_and_stays_short(value):
    with translation.override("en"):
        number, unit = words.byte_size(value).split("\u00a0")
    shown = float(number.replace(",", "")) * 1000 ** words.UNITS["en"].index(unit)
    assert math.isclose(shown, value, rel_tol=0.01, abs_tol=0.5)
    assert len(number) <= 5


@given(st.floats(min_value=0, max_value=10**9, allow_nan=False))
def test_a_duration_never_shows_sixty(seconds):
    with translation.override("en"):
        text = words.duration(seconds)
    assert not {"60", "24\u00a0h"} & set(text.split("\u00a0")[::2][1:])
