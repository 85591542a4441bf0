"""PostgreSQL by recorded control files: what is read of them, and what a start is made of."""

from __future__ import annotations

import os

import pytest
from django.utils import translation

from recovery.engines import pg_control, pg_start
from recovery.engines.base import DATA, Consistency, Hints, Mount, Taken
from recovery.engines.place import Place
from recovery.engines.postgresql import Postgresql
from recovery.errors import CannotStart
from tests.engines import engine_parts as parts

ENGINE = Postgresql()


@pytest.fixture(autouse=True)
def english():
    with translation.override("en"):
        yield


def look(place, taken=Taken.UNKNOWN, root=None):
    found = ENGINE.look(Place(root or place, os.fsencode(place.relative_to(root)) if root else b""), Hints(taken=taken))
    assert found is not None
    return found


@pytest.mark.parametrize("major", parts.CONTROLS)
def test_the_control_file_of_each_recorded_major_is_read_and_checked(major):
    control = pg_control.read(parts.control(major))
    assert control is not None
    assert (control.checked, control.state, control.clean, control.major) == (True, "shut down", True, major)
    assert (control.block_bytes, control.wal_segment_bytes) == (8192, 16 << 20)
    assert control.minima["max_connections"] == 100
    assert control.wal_level == ("minimal" if major == "9.6" else "replica")


@pytest.mark.parametrize("at", [16, 40, 200])
def test_a_changed_byte_is_seen(at):
    raw = bytearray(parts.control("15"))
    raw[at] ^= 1
    control = pg_control.read(bytes(raw))
    assert control is not None
    assert (control.checked, control.clean, control.minima) == (False, None, None)


@pytest.mark.parametrize("raw", [b"", b"\0" * 8192, parts.control("15")[:100], b"\xff" * 8192])
def test_what_is_no_control_file_is_none(raw):
    assert pg_control.read(raw) is None


def test_the_checksum_is_castagnolis():
    assert pg_control.crc32c(b"123456789") == 0xE3069283


def test_case_98_it_goes_by_pg_version_and_is_refused_before_a_start(tmp_path):
    found = look(parts.cluster(tmp_path, version="13"))
    assert found.version == "13"
    assert ENGINE.refuse(found, "15") == "It needs PostgreSQL 13."
    assert ENGINE.refuse(found, "13.18") == ""
    assert {"disagree"} <= {note.code for note in found.notes}


@pytest.mark.parametrize(
    ("version", "image", "may"),
    [("9.6", "9.6.24", True), ("9.6", "9.5", False), ("10", "10.23", True), ("10", "11", False)],
)
def test_before_version_10_the_second_number_counts(tmp_path, version, image, may):
    found = look(parts.cluster(tmp_path, version, version))
    assert (ENGINE.refuse(found, image) == "") is may


def test_case_95_the_stale_files_are_named_for_the_upper_layer(tmp_path):
    place = parts.cluster(tmp_path)
    for name in ("postmaster.pid", "standby.signal", ".s.PGSQL.5432.lock"):
        (place / name).write_text("")
    found = look(place)
    assert set(found.stale) == {b"postmaster.pid", b"standby.signal", b".s.PGSQL.5432.lock"}
    assert ENGINE.start(found, read_only=True).hide == found.stale


def test_case_96_a_cluster_without_settings_gets_generated_ones(tmp_path):
    recipe = ENGINE.start(look(parts.cluster(tmp_path)), read_only=True)
    single, serve = recipe.steps
    files = {file.path for file in single.files}
    assert {"/phpborg/etc/postgresql.conf", "/phpborg/etc/pg_hba.conf", f"{DATA}/postgresql.auto.conf"} <= files
    assert [file.path for file in serve.files] == [f"{DATA}/standby.signal"]
    assert "config_file=/phpborg/etc/postgresql.conf" in serve.argv


def test_case_110_without_a_snapshot_a_running_cluster_is_doubtful(tmp_path):
    place = parts.cluster(tmp_path)
    (place / "postmaster.pid").write_text("1\n")
    assert look(place).consistency == Consistency.DOUBTFUL
    assert look(place, Taken.FROZEN).consistency == Consistency.CRASH
    (place / "backup_label").write_text("")
    assert look(place, Taken.LIVE).consistency == Consistency.RECOVERABLE


def test_a_copy_without_its_log_is_broken(tmp_path):
    place = parts.cluster(tmp_path)
    (place / "pg_wal").rmdir()
    assert look(place).consistency == Consistency.BROKEN
    (place / "pg_wal").symlink_to("/srv/wal")
    found = look(place)
    assert found.consistency == Consistency.BROKEN
    assert [(part.kind, part.wanted, part.path) for part in found.parts] == [("wal", b"/srv/wal", None)]
    with pytest.raises(CannotStart, match="wal /srv/wal"):
        ENGINE.start(found, read_only=True)


@pytest.mark.parametrize("prefix", ["", "snap/x"])
def test_a_tablespace_is_found_and_mounted_at_its_own_path(tmp_path, prefix):
    place = parts.cluster(tmp_path / prefix / "var/lib/postgresql/15/main")
    (place / "pg_tblspc/16400").symlink_to("/srv/fast")
    (tmp_path / prefix / "srv/fast/PG_15_202209061/5").mkdir(parents=True)
    # Another folder of the name, without files of this version, is not it.
    (tmp_path / "srv/fast/PG_14_202107181").mkdir(parents=True, exist_ok=True)
    found = look(place, root=tmp_path)
    own = os.fsencode(f"{prefix}/srv/fast".lstrip("/"))
    assert [(part.kind, part.path, part.name) for part in found.parts] == [("tablespace", own, b"pg_tblspc/16400")]
    assert Mount(own, "/srv/fast") in ENGINE.start(found, read_only=True).mounts


def test_a_tablespace_that_is_not_in_the_archive_is_said(tmp_path):
    place = parts.cluster(tmp_path / "main")
    (place / "pg_tblspc/16400").symlink_to("/srv/fast")
    found = look(place, root=tmp_path)
    assert [part.path for part in found.missing] == [None]
    assert "“/srv/fast”" in next(note.sentence for note in found.notes if note.code == "missing")


@pytest.mark.parametrize("target", ["/", "/usr", "/proc/1", "/phpborg/data", "/etc", "/usr/lib", "/usr/lib/../lib"])
def test_a_tablespace_is_never_laid_over_the_container_itself(tmp_path, target):
    place = parts.cluster(tmp_path / "main")
    (place / "pg_tblspc/1").symlink_to(target)
    (tmp_path / os.path.normpath(target).lstrip("/") / "PG_15_202209061").mkdir(parents=True, exist_ok=True)
    with pytest.raises(CannotStart):
        ENGINE.start(look(place, root=tmp_path), read_only=True)


@pytest.mark.parametrize(
    ("link", "folder", "mount"),
    [
        ("../wal", "srv/wal", Mount(b"srv/wal", "/phpborg/wal")),
        ("../../logs/wal", "logs/wal", Mount(b"logs/wal", "/logs/wal")),
        ("own_wal", "srv/main/own_wal", None),
        ("/srv/wal/", "srv/wal", Mount(b"srv/wal", "/srv/wal")),
        ("../run/x", "srv/run/x", CannotStart),
    ],
)
def test_a_log_elsewhere_is_where_its_link_leads_in_the_container(tmp_path, link, folder, mount):
    place = parts.cluster(tmp_path / "srv/main")
    (place / "pg_wal").rmdir()
    (place / "pg_wal").symlink_to(link)
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    found = look(place, root=tmp_path)
    assert [part.path for part in found.parts] == [os.fsencode(folder)]
    if mount is CannotStart:
        with pytest.raises(CannotStart):
            ENGINE.start(found, read_only=True)
    else:
        expected = (Mount(b"srv/main", DATA), *([mount] if mount else []))
        assert ENGINE.start(found, read_only=True).mounts == expected


def test_a_link_with_dots_does_not_leave_the_archive(tmp_path):
    outside = tmp_path / "outside/PG_15_202209061"
    outside.mkdir(parents=True)
    place = parts.cluster(tmp_path / "root/main")
    (place / "pg_tblspc/1").symlink_to("../../../outside")
    assert [part.path for part in look(place, root=tmp_path / "root").parts] == [None]


def test_a_standby_has_at_least_what_the_server_had_and_nothing_that_acts_outside(tmp_path):
    words = ENGINE.start(look(parts.cluster(tmp_path)), read_only=True).steps[1].argv
    for word in (
        *("max_connections=100", "max_wal_senders=10", "archive_mode=off", "archive_command=", "restore_command="),
        *("primary_conninfo=", "shared_preload_libraries=", "listen_addresses=", "ssl=off", "hot_standby=on"),
    ):
        assert word in words


def test_libraries_are_loaded_only_as_they_were_chosen(tmp_path):
    place = parts.cluster(tmp_path)
    (place / "postgresql.auto.conf").write_text("shared_preload_libraries = 'pg_cron, timescaledb'\n")
    found = look(place)
    assert found.facts.libraries == ("pg_cron", "timescaledb")
    assert "shared_preload_libraries=" in ENGINE.start(found, read_only=True).steps[0].argv
    chosen = ENGINE.start(found, read_only=True, libraries=("timescaledb",))
    assert all("shared_preload_libraries=timescaledb" in step.argv for step in chosen.steps)
    with pytest.raises(CannotStart):
        ENGINE.start(found, read_only=True, libraries=("a,b",))


@pytest.mark.parametrize(("major", "file"), [("10", "recovery.conf"), ("13", "standby.signal")])
def test_how_a_standby_is_asked_for_depends_on_the_version(tmp_path, major, file):
    recipe = ENGINE.start(look(parts.cluster(tmp_path, major, major)), read_only=True)
    assert [name.path for name in recipe.steps[1].files] == [f"{DATA}/{file}"]
    assert ("primary_conninfo=" in recipe.steps[1].argv) is (major == "13")


def test_a_sandbox_is_no_standby(tmp_path):
    recipe = ENGINE.start(look(parts.cluster(tmp_path)), read_only=False)
    assert (recipe.steps[1].files, recipe.read_only_by, recipe.network) == ((), "", "none")


def test_the_verifier_is_that_of_the_standard():
    # RFC 7677's own example.
    import base64

    said = pg_start.verifier("pencil", base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="))
    assert said == (
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
        ":wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    )


@pytest.mark.parametrize("name", ["", "a", "A_b", "x;drop", "x y", "é" * 4, "p" * 40])
def test_a_name_that_could_be_more_than_a_name_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="login"):
        ENGINE.login(look(parts.cluster(tmp_path)), name=name, password="x", read_only=True)
