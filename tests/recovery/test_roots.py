"""What is outermost in an archive, and how borg's words name it."""

from __future__ import annotations

import ast
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backups.borg import listing
from recovery.services.plan import RestorePlan
from recovery.services.roots import Roots

_PART = st.sampled_from([b"a", b"b", b"a b", b"caf\xe9"])
_PATHS = st.lists(st.lists(_PART, min_size=1, max_size=4).map(b"/".join), max_size=12)


@given(_PATHS, st.randoms())
def test_only_what_lies_in_nothing_else_is_outermost_in_any_order(found: list[bytes], order: random.Random) -> None:
    order.shuffle(found)
    roots = Roots()
    for path in found:
        roots.add(path)
    expected = {path for path in found if not any(path.startswith(other + b"/") for other in found)}
    assert set(roots.outermost()) == expected
    assert len(roots.outermost()) == len(expected)


def test_the_place_that_borg_was_started_in_is_none() -> None:
    roots = Roots()
    for path in (b".", b"one", b"two/three"):
        roots.add(path)
    assert roots.outermost() == [b"one", b"two/three"]


def test_an_entry_that_leads_upwards_is_put_nowhere_and_another_spelling_is_the_same_place() -> None:
    roots = Roots()
    for path in (b"home/a/../../victim", b"..", b"./etc/hosts", b"etc//hosts", b"srv/./x/y", b"srv/x", b"home/.ssh"):
        assert roots.add(path) == (b".." not in path)
    assert not roots.add(b"srv/x/../../victim")  # below one that is known already
    assert roots.outermost() == [b"etc/hosts", b"home/.ssh", b"srv/x"]


@given(st.binary(min_size=1, max_size=30).filter(lambda name: b"\0" not in name))
def test_every_name_is_read_as_it_was(name: bytes) -> None:
    line = f"- 17 {name.decode('utf-8', 'surrogateescape')!a}".encode()
    assert listing.entry(line) == listing.Entry("-", 17, name)
    assert ast.literal_eval(line[5:].decode("ascii")).encode("utf-8", "surrogateescape") == name


def test_only_files_have_a_size() -> None:
    assert listing.entry(b"d 4096 'x y'") == listing.Entry("d", 0, b"x y")


@pytest.mark.parametrize(("strip", "expected"), [(0, b"srv/data/one"), (2, b"one")])
def test_they_are_put_in_place_in_portions(strip: int, expected: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recovery.services.plan.PORTION", 2)
    plan = RestorePlan("archive", "server", b"/to", strip, "keep", ())
    portions = plan.placed([b"srv/data/one", b"srv/data/two", b"srv/data/three"])
    assert [len(portion) for portion in portions] == [2, 1]
    assert portions[0][0] == expected
    assert plan.placed([]) == []
