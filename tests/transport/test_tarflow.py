"""Tar streams that get another folder on their way: the same members, owners, links and bytes."""

from __future__ import annotations

import io
import os
import tarfile
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from servers.remote.tarflow import Broken, Flow


def flow(
    data: bytes, folder: bytes = b"srv/pg data/main", *, first: bool = False, file: tuple[bytes, int] | None = None
) -> bytes:
    """What comes out of a flow; through pipes, as in life."""
    (source, feed), (drain, sink) = os.pipe(), os.pipe()
    out: list[bytes] = []

    def write() -> None:
        with os.fdopen(feed, "wb") as file:
            file.write(data)

    def read() -> None:
        with os.fdopen(drain, "rb") as file:
            out.append(file.read())

    threads = [threading.Thread(target=work, daemon=True) for work in (write, read)]
    for thread in threads:
        thread.start()
    try:
        made = Flow(source, sink, folder)
        if first:
            made.add_folder(folder)
        made.copy(lambda: None)
        if file is not None:
            made.add_file(*file, os.fstat(file[1]))
        made.finish()
        assert made.whole
    finally:
        os.close(source)
        os.close(sink)
        threads[1].join(10)
    return out[0]


def archive(members: list[tarfile.TarInfo], contents: dict[str, bytes], form: int = tarfile.USTAR_FORMAT) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w", format=form) as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(contents.get(member.name, b"")))
    return held.getvalue()


def member(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(content), kind, link
    info.uid, info.gid, info.mode, info.mtime = 101, 4242, 0o600, 1_700_000_000
    return info


def read(data: bytes) -> dict[str, tuple[tarfile.TarInfo, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r|") as tar:
        return {info.name: (info, tar.extractfile(info).read() if info.isreg() else b"") for info in tar}


def test_members_keep_all_but_their_folder():
    contents = {"base/1/1259": b"x" * 8192, "PG_VERSION": b"15\n", "empty": b""}
    members = [member("base", kind=tarfile.DIRTYPE), *(member(name, data) for name, data in contents.items())]
    members.append(member("pg_tblspc/16400", kind=tarfile.SYMTYPE, link="/srv/table space"))
    found = read(flow(archive(members, contents)))
    assert list(found) == [f"srv/pg data/main/{info.name}" for info in members]
    for before in members:
        after, content = found[f"srv/pg data/main/{before.name}"]
        assert content == contents.get(before.name, b"")
        for field in ("uid", "gid", "mode", "mtime", "size", "type", "linkname"):
            assert getattr(after, field) == getattr(before, field), field


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 3000), min_size=1, max_size=6),
    st.integers(1, 240),
    st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT]),
)
def test_every_length_of_names_and_contents(sizes, length, form):
    names = [
        f"{number}/{'é' if number % 2 else 'n'}{'d' * (length // 2)}/{'f' * (length // 3)}"
        for number in range(len(sizes))
    ]
    contents = {name: bytes([65 + number]) * size for number, (name, size) in enumerate(zip(names, sizes, strict=True))}
    try:
        before = archive([member(name, contents[name]) for name in names], contents, form)
    except ValueError:  # too long for ustar
        return
    found = read(flow(before, folder=b"a" * 60))
    assert {name: content for name, (_, content) in found.items()} == {
        f"{'a' * 60}/{name}": content for name, content in contents.items()
    }


def test_a_file_of_more_than_8_gib_has_its_size_read_right():
    """Only its header: base 256, as GNU writes it."""
    header = member("big")
    header.size = 9 << 30
    data = header.tobuf(tarfile.GNU_FORMAT)
    with pytest.raises(Broken, match="in the middle"):
        flow(data + b"x" * 4096)


def test_the_folder_itself_comes_first(tmp_path):
    (tmp_path / "data").mkdir(mode=0o700)
    found = read(flow(archive([member("a", b"1")], {"a": b"1"}), folder=os.fsencode(tmp_path / "data"), first=True))
    info, _ = found[str(tmp_path / "data")[1:]]
    assert (info.isdir(), info.mode) == (True, 0o700)


def test_without_a_folder_members_stay_at_their_places():
    found = read(flow(archive([member("srv/data/a", b"1")], {"srv/data/a": b"1"}), folder=b""))
    assert list(found) == ["srv/data/a"]


def test_a_file_of_this_machine_comes_after_them(tmp_path):
    path = tmp_path / ("long name" * 20)
    path.write_bytes(b"s" * 700)
    path.chmod(0o640)
    with path.open("rb") as file:
        data = flow(archive([member("a", b"1")], {"a": b"1"}), file=(os.fsencode(path), file.fileno()))
    name, (info, content) = list(read(data).items())[-1]
    assert (name, info.mode, content) == (str(path)[1:], 0o640, b"s" * 700)


@pytest.mark.parametrize("name", ["../x", "a/../../x", ".."])
def test_a_member_that_leads_out_is_refused(name):
    with pytest.raises(Broken, match="leads out"):
        flow(archive([member(name, b"x")], {name: b"x"}))


def test_a_name_without_end_is_refused():
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1 << 40
    with pytest.raises(Broken, match="a name of"):
        flow(info.tobuf(tarfile.GNU_FORMAT))


@pytest.mark.parametrize("cut", [1, 511, 512, 600, 1024, 1500, 1536])
def test_a_stream_that_ends_early_is_never_finished(cut):
    whole = archive([member("a", b"x" * 900)], {"a": b"x" * 900})
    with pytest.raises(Broken):
        flow(whole[:cut])


@pytest.mark.parametrize("place", [0, 100, 124, 148, 156])
def test_a_damaged_header_is_found(place):
    data = bytearray(archive([member("a", b"x")], {"a": b"x"}))
    data[place] ^= 0x41
    with pytest.raises(Broken):
        flow(bytes(data))


def test_a_kind_that_nobody_expects_is_refused():
    with pytest.raises(Broken, match="kind"):
        flow(archive([member("é" * 90)], {}, tarfile.PAX_FORMAT))
