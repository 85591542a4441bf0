"""The colours of the tokens against WCAG AA, in both modes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings

TOKENS = (Path(settings.BASE_DIR) / "static/css/tokens.css").read_text()
COLOURS = {
    name: {"light": light, "dark": dark}
    for name, light, dark in re.findall(r"(--[\w-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)", TOKENS)
}
GROUNDS = ("--ground", "--surface", "--raised", "--sunken", "--hover", "--selected")
TONES = ("neutral", "info", "good", "warn", "bad")

TEXT = [
    *((text, ground) for text in ("--text", "--text-muted") for ground in GROUNDS),
    *(("--text-link", ground) for ground in ("--ground", "--surface", "--raised", "--selected", "--accent-quiet")),
    *((f"--{tone}-text", f"--{tone}-ground") for tone in TONES),
    *((f"--{tone}-text", ground) for tone in TONES for ground in ("--ground", "--surface", "--sunken")),
    *(("--text", f"--{tone}-ground") for tone in TONES),
    *(("--text-muted", f"--{tone}-ground") for tone in TONES),
    ("--text-on-accent", "--accent"),
    ("--text-on-accent", "--accent-hover"),
    ("--text-on-bad", "--bad-solid"),
    ("--text-on-bad", "--bad-solid-hover"),
]
MARKS = [
    *(("--line-strong", ground) for ground in ("--ground", "--surface", "--raised")),
    *(("--focus", ground) for ground in GROUNDS),
    *(("--accent", ground) for ground in ("--ground", "--surface")),
    *((f"--{tone}-solid", ground) for tone in TONES for ground in ("--surface", "--ground")),
]


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str, mode: str) -> float:
    bright, dim = sorted((luminance(COLOURS[one][mode]), luminance(COLOURS[other][mode])), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def test_black_on_white_is_21():
    assert (luminance("#ffffff") + 0.05) / (luminance("#000000") + 0.05) == pytest.approx(21)


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize(("text", "ground"), TEXT)
def test_text_has_four_and_a_half(text, ground, mode):
    assert contrast(text, ground, mode) >= 4.5


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize(("mark", "ground"), MARKS)
def test_marks_and_controls_have_three(mark, ground, mode):
    assert contrast(mark, ground, mode) >= 3
