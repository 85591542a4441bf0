"""The directory in which former content is kept: who may have made it, and to whom it may have been given since."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from servers.remote import wire
from servers.remote.dockers import keeping

TOKEN = "abcdef12-3456"


def test_fake_what_a_filesystem_gives_to_another_owner_is_refused_and_not_left_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a share that makes root nobody."""
    make = os.mkdir

    def squashed(name: bytes, mode: int = 0o777, *, dir_fd: int) -> None:
        make(name, mode, dir_fd=dir_fd)
        os.chown(name, 65534, 65534, dir_fd=dir_fd)

    monkeypatch.setattr(os, "mkdir", squashed)
    with pytest.raises(wire.Refused, match="root's alone"):
        keeping.opened(os.fsencode(tmp_path), TOKEN, make=True)
    assert list(tmp_path.iterdir()) == []


def test_what_somebody_else_had_made_stays_where_it_is(tmp_path: Path) -> None:
    keep = tmp_path / f".phpborg-{TOKEN}"
    keep.mkdir()
    os.chown(keep, 65534, 65534)
    for make in (True, False):
        with pytest.raises(wire.Refused, match="root's alone"):
            keeping.opened(os.fsencode(tmp_path), TOKEN, make=make)
    assert keep.stat().st_uid == 65534
