"""Paths of an archive: bytes survive, nothing climbs out, selections are tidy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recovery import paths
from recovery.errors import NoSuchPath

NAME = st.binary(min_size=1, max_size=20).filter(
    lambda name: b"/" not in name and b"\0" not in name and name not in (b".", b"..")
)
PATH = st.lists(NAME, min_size=1, max_size=5).map(b"/".join)


@given(PATH)
def test_a_token_is_ascii_and_leads_back_to_the_very_bytes(path: bytes) -> None:
    text = paths.token(path)
    assert text.isascii()
    assert paths.parse(text) == path


@pytest.mark.parametrize("text", ["../etc/passwd", "a/../../b", "a/./b", "%2e%2e/x", "a%00b", "..%2fx"])
def test_a_token_that_climbs_is_refused(text: str) -> None:
    with pytest.raises(NoSuchPath):
        paths.parse(text)


def test_slashes_too_many_do_not_matter() -> None:
    assert paths.parse("//etc//ssh/") == b"etc/ssh"


def test_what_lies_inside_a_picked_folder_is_dropped() -> None:
    assert paths.without_nested([b"a/b/c", b"a/b", b"a/bc", b"x", b"x"]) == [b"a/b", b"a/bc", b"x"]
    assert paths.without_nested([b"a", b"", b"b"]) == [b""]


@given(st.lists(PATH, min_size=1, max_size=8))
def test_every_picked_path_lies_below_the_common_parent(picked: list[bytes]) -> None:
    parent = paths.common_parent(picked)
    assert all(path.startswith(parent + b"/") or not parent for path in picked)


def test_the_common_parent_of_one_item_is_its_folder() -> None:
    assert paths.common_parent([b"tmp/rx/s5/data"]) == b"tmp/rx/s5"
    assert paths.common_parent([b"a/b/c", b"a/b/d", b"a/x"]) == b"a"


def test_control_characters_and_bad_bytes_are_shown_harmlessly() -> None:
    assert paths.shown(b"new\nline") == "new␊line"
    assert paths.shown(b"caf\xe9") == "caf\ufffd"
    assert paths.shown("bill\u202efdp.exe".encode()) == "bill<U+202E>fdp.exe"
    assert paths.shown(b"a\x7f\xc2\x9bb") == "a<U+007F><U+009B>b"
    assert paths.portable("\u05d0\u200f \\x\n\u202e".encode()) == "\u05d0\u200f \u2216x␊\u202e"
    assert paths.shown("família 👨‍👩‍👧".encode()) == "família 👨‍👩‍👧"
