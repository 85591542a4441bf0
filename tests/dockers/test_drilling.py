"""What the helper refuses a drill, and how it reads what containers wrote."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import pytest

from servers.remote import wire
from servers.remote.dockers import apart, drilling


def body(*binds: str, mounts: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    return {"Image": "sha256:1", "HostConfig": {"Binds": list(binds), "Mounts": list(mounts)}}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A drill's directory with a file, and links that lead out of it, as an archive may hold them."""
    place = tmp_path / "drill"
    (place / "srv").mkdir(parents=True)
    (place / "srv/file").write_text("x")
    (tmp_path / "production").mkdir()
    (place / "srv/out").symlink_to("../../production")
    (place / "srv/absolute").symlink_to("/etc")
    (place / "srv/near").symlink_to("file")
    (place / "srv/hanging").symlink_to("nothing")
    return place


def test_paths_of_the_drill_and_volumes_may_be_seen(base: Path) -> None:
    binds = (f"{base}/srv:/srv:ro", f"{base}/srv/file:/file", f"{base}/srv/near:/near", "a_volume:/data")
    apart.check_inside(body(*binds, mounts=({"Type": "tmpfs", "Target": "/t"},)), os.fsencode(base))


@pytest.mark.parametrize(
    "name", ["srv/out", "srv/absolute", "srv/out/deeper", "../production", "srv/../../production", ""]
)
def test_nothing_that_a_link_or_a_name_leads_out_to_is_shown(base: Path, name: str) -> None:
    for one in (
        body(f"{base}/{name}:/x"),
        body(mounts=({"Type": "bind", "Source": f"{base}/{name}", "Target": "/x"},)),
    ):
        with pytest.raises(wire.Refused) as refused:
            apart.check_inside(one, os.fsencode(base))
        assert refused.value.code == "unsafe"


@pytest.mark.parametrize("name", ["srv/deep/../../../production", "srv/./file", "srv//file", "srv/deep/../file"])
def test_a_name_that_is_read_in_two_ways_is_refused(base: Path, name: str) -> None:
    """Through the link it stays inside; an engine shortens the name without a look, and is outside."""
    (base / "srv/a/b/c").mkdir(parents=True)
    (base / "srv/deep").symlink_to("a/b/c")
    (base / "srv/production").mkdir()
    with pytest.raises(wire.Refused) as refused:
        apart.check_inside(body(f"{base}/{name}:/x"), os.fsencode(base))
    assert refused.value.code == "unsafe"


def test_the_engine_gets_the_real_path(base: Path) -> None:
    asked = body(
        f"{base}/srv/near:/x:ro", "data:/d", mounts=({"Type": "bind", "Source": f"{base}/srv/near", "Target": "/y"},)
    )
    host = apart.check_inside(asked, os.fsencode(base))["HostConfig"]
    assert host["Binds"] == [f"{base}/srv/file:/x:ro", "data:/d"]
    assert host["Mounts"][0]["Source"] == f"{base}/srv/file"
    assert asked["HostConfig"]["Binds"][0] == f"{base}/srv/near:/x:ro"


def test_a_link_to_a_name_with_a_colon_is_no_second_bind(base: Path) -> None:
    (base / "y:/host").mkdir(parents=True)
    (base / "srv/colon").symlink_to("../y:/host")
    with pytest.raises(wire.Refused) as refused:
        apart.check_inside(body(f"{base}/srv/colon:ro"), os.fsencode(base))
    assert refused.value.code == "unsafe"


@pytest.mark.parametrize("name", ["srv/missing", "srv/hanging"])
def test_what_is_not_there_is_not_made_by_the_engine(base: Path, name: str) -> None:
    with pytest.raises(wire.Refused) as refused:
        apart.check_inside(body(f"{base}/{name}:/x"), os.fsencode(base))
    assert refused.value.code == "missing"


def frame(stream: int, data: bytes) -> bytes:
    return struct.pack(">BxxxL", stream, len(data)) + data


def test_lines_of_both_streams_without_the_heads_of_their_frames() -> None:
    assert drilling._unframed(frame(1, b"one\n") + frame(2, b"two\n")) == b"one\ntwo\n"
    assert drilling._unframed(b"plain words\n") == b"plain words\n"


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 1000])
def test_tables_of_a_dump_are_counted_once_however_it_is_cut(size: int) -> None:
    nowhere = drilling._Nowhere("postgresql")
    dump = b"--\nCOPY a (x) FROM stdin;\n1\n\\.\nCOPY b (x) FROM stdin;\n\\.\n"
    for begin in range(0, len(dump), size):
        nowhere.write(dump[begin : begin + size])
    assert (nowhere.tables, nowhere.size) == (2, len(dump))
    nowhere.begin_again()
    assert (nowhere.tables, nowhere.size) == (0, 0)


def test_a_fake_process_that_took_the_number_of_a_container_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the engine's word and our look at it a container may end, and its number be given to another process."""
    monkeypatch.setattr(drilling._Inside, "_is_ours", lambda _: False)
    first = {"Id": "1", "Name": "/web", "State": {"Pid": os.getpid()}}
    later: list[dict[str, Any] | None] = [first, {**first, "State": {"Pid": 0}}, {**first, "State": {"Pid": 1}}, None]

    class FakeEngine:
        def container(self, name: str) -> dict[str, Any] | None:
            return later.pop(0)

    engine: Any = FakeEngine()
    drilling._Inside(engine, first).close()
    for _ in list(later):
        opened = os.listdir("/proc/self/fd")
        with pytest.raises(wire.Refused, match="no network of its own"):
            drilling._Inside(engine, first)
        assert os.listdir("/proc/self/fd") == opened
