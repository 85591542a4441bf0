"""Reading a tree: paged, by bytes, and never through a link."""

import os
from pathlib import Path

import pytest

from recovery import tree
from recovery.errors import NoSuchPath, NotAFile, NotAFolder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A small tree with the odd things of real servers."""
    place = tmp_path / "archive"
    (place / "etc/deep").mkdir(parents=True)
    (place / "etc/hosts").write_bytes(b"127.0.0.1 localhost\n")
    (place / "etc/deep/x").write_bytes(b"x" * 1000)
    (place / "secret").symlink_to("/etc/shadow")
    (place / "out").symlink_to("/etc")
    os.mkfifo(place / "pipe")
    (Path(os.fsdecode(os.fsencode(place) + b"/caf\xe9"))).write_bytes(b"odd")
    return place


def test_folders_come_first_and_names_are_bytes(root: Path) -> None:
    page = tree.list_folder(root, b"")
    assert [entry.name for entry in page.entries] == [b"etc", b"caf\xe9", b"out", b"pipe", b"secret"]
    assert [entry.kind for entry in page.entries] == ["folder", "file", "link", "fifo", "link"]


@pytest.mark.parametrize("path", [b"secret", b"out/passwd", b"etc", b"pipe"])
def test_only_regular_files_of_the_archive_can_be_opened(root: Path, path: bytes) -> None:
    with pytest.raises((NotAFile, NotAFolder, NoSuchPath)):
        os.close(tree.open_file(root, path))


@pytest.mark.parametrize("path", [b"out", b"secret", b"etc/hosts", b"out/ssh"])
def test_a_link_is_no_folder(root: Path, path: bytes) -> None:
    with pytest.raises((NotAFolder, NoSuchPath)):
        tree.list_folder(root, path)


def test_pages_and_search_of_a_large_folder(tmp_path: Path) -> None:
    for number in range(1000):
        (tmp_path / f"file-{number:04d}").touch()
    page = tree.list_folder(tmp_path, b"", page=3, size=100)
    assert (page.total, page.pages, page.page) == (1000, 10, 3)
    assert page.entries[0].name == b"file-0200"
    assert tree.list_folder(tmp_path, b"", page=99, size=100).page == 10
    found = tree.list_folder(tmp_path, b"", search=b"FILE-099")
    assert [entry.name for entry in found.entries] == [b"file-%04d" % number for number in range(990, 1000)]


def test_walk_names_everything_once_and_follows_no_link(root: Path) -> None:
    found = [entry.path for entry in tree.walk(root, b"")]
    assert found == [b"", b"caf\xe9", b"etc", b"etc/deep", b"etc/deep/x", b"etc/hosts", b"out", b"pipe", b"secret"]
