"""Downloads: streamed, complete, and honest when something breaks."""

import io
import os
import tarfile
import threading
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from recovery import download_names, tree
from recovery.services import download
from tests.recovery.test_tree import root

__all__ = ["root"]


def test_a_tar_holds_everything_with_its_bytes_links_and_owners(root: Path) -> None:
    os.chown(root / "etc/hosts", 4242, 4343)
    content = b"".join(download.tar_chunks(root, b"etc"))
    with tarfile.open(fileobj=io.BytesIO(content), errors="surrogateescape") as tar:
        assert tar.getnames() == ["etc", "etc/deep", "etc/deep/x", "etc/hosts"]
        member = tar.getmember("etc/hosts")
        assert (member.uid, member.gid) == (4242, 4343)
        taken = tar.extractfile(member)
        assert taken is not None
        assert taken.read() == b"127.0.0.1 localhost\n"


def test_a_tar_of_the_root_keeps_names_that_are_not_utf8(root: Path) -> None:
    content = b"".join(download.tar_chunks(root, b""))
    with tarfile.open(fileobj=io.BytesIO(content), errors="surrogateescape") as tar:
        assert os.fsdecode(b"caf\xe9") in tar.getnames()
        assert tar.getmember("secret").linkname == "/etc/shadow"


def test_a_zip_can_be_opened_and_has_no_links(root: Path) -> None:
    content = b"".join(download.zip_chunks(root, b""))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        assert archive.read("etc/hosts") == b"127.0.0.1 localhost\n"
        assert "secret" not in archive.namelist()


@pytest.mark.parametrize(
    ("claimed", "year"), [(-(2**40), 1980), (0, 1980), (1_764_000_000, 2025), (2**33, 2107), (2**62, 2107)]
)
def test_a_zip_holds_any_date(root: Path, monkeypatch: pytest.MonkeyPatch, claimed: int, year: int) -> None:
    before = tree.walk
    monkeypatch.setattr(
        download.tree, "walk", lambda *args: (replace(entry, modified_at=claimed) for entry in before(*args))
    )
    with zipfile.ZipFile(io.BytesIO(b"".join(download.zip_chunks(root, b"etc")))) as archive:
        assert {info.date_time[0] for info in archive.infolist()} == {year}


def test_a_reader_that_leaves_ends_the_writer(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"{number}").write_bytes(os.urandom(1_000_000))
    chunks = download.tar_chunks(tmp_path, b"")
    next(chunks)
    chunks.close()  # type: ignore[attr-defined]
    until = time.monotonic() + 10
    while any(thread.name == "download" for thread in threading.enumerate()) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(thread.name == "download" for thread in threading.enumerate())


def test_an_error_in_the_middle_breaks_the_download_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"a")

    def broken(*_: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(tree, "open_file", broken)
    with pytest.raises(OSError, match="Input/output"):
        list(download.tar_chunks(tmp_path, b""))


@pytest.mark.parametrize(
    ("name", "header"),
    [
        (b"plain.txt", "attachment; filename=\"plain.txt\"; filename*=UTF-8''plain.txt"),
        (b'a"b\r\nX: y', "attachment; filename=\"a_b__X: y\"; filename*=UTF-8''a%22b%E2%90%8D%E2%90%8AX%3A%20y"),
    ],
)
def test_a_name_cannot_break_the_header(name: bytes, header: str) -> None:
    assert download_names.disposition(name) == header
