"""Which binary log of MySQL or MariaDB counts, by made files; what a start does with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from recovery.engines import binary_log
from recovery.engines.base import DATA, File, Found, Hints
from recovery.engines.mysql import Mysql
from recovery.engines.place import Place
from tests.engines import engine_parts as parts

IN_USE, RELAYED = 1, 0x40


def made_log(place: Path, *names: str, flags: int = IN_USE, kind: int = 15, index: str = "", where: str = "./") -> None:
    """Files of a log, of which the last has these flags in its first event."""
    for name in names:
        event = bytes(4) + bytes([kind]) + bytes(12) + flags.to_bytes(2, "little")
        (place / name).write_bytes(b"\xfebin" + event + bytes(100))
    index = index or names[-1].partition(".")[0] + ".index"
    (place / index).write_text("".join(f"{where}{name}\n" for name in names))


def test_the_log_that_was_in_use_is_found_with_all_that_is_there_of_it(tmp_path):
    made_log(tmp_path, "binlog.000007", "binlog.000008")
    (tmp_path / "binlog.index").write_text("./binlog.000006\n./binlog.000007\n./binlog.000008\n")
    found = binary_log.in_use(Place(tmp_path))
    assert found == ("binlog.000007", "binlog.000008")
    assert binary_log.base(found) == "binlog"


def test_an_index_may_say_that_its_files_lie_where_the_server_had_them(tmp_path):
    made_log(tmp_path, "mysql-bin.000001", where="/var/lib/mysql/")
    assert binary_log.in_use(Place(tmp_path)) == ("mysql-bin.000001",)


@pytest.mark.parametrize(
    "made",
    [
        {"flags": 0},
        {"flags": IN_USE | RELAYED},
        {"kind": 4},
        {"where": "-x"},
    ],
)
def test_one_that_was_closed_or_is_none_does_not_count(tmp_path, made):
    made_log(tmp_path, "binlog.000001", **made)
    assert binary_log.in_use(Place(tmp_path)) == ()


def test_neither_does_what_a_replica_was_sent_nor_one_that_is_not_whole(tmp_path):
    made_log(tmp_path, "host-relay-bin.000002")
    made_log(tmp_path, "a.b.000001", index="a.index")
    (tmp_path / "gone.index").write_text("./gone.000001\n")
    (tmp_path / "link.index").write_text("./link.000001\n")
    (tmp_path / "link.000001").symlink_to(tmp_path / "host-relay-bin.000002")
    (tmp_path / "two.index").write_text("./host-relay-bin.000002\n./two.000001\n")
    (tmp_path / "short.index").write_text("./short.000001\n")
    (tmp_path / "short.000001").write_bytes(b"\xfebin")
    assert binary_log.in_use(Place(tmp_path)) == ()


def look(place: Path) -> Found:
    found = Mysql().look(Place(place), Hints())
    assert found is not None
    return found


@pytest.mark.parametrize("read_only", [True, False])
def test_the_first_run_decides_by_the_log_and_leaves_it_as_it_was_told(tmp_path, read_only):
    place = parts.made_mysql(tmp_path / "m")
    made_log(place, "binlog.000001", "binlog.000002", where="/elsewhere/")
    found = look(place)
    first, second = Mysql().start(found, read_only=read_only).steps
    index = File(f"{DATA}/#phpborg-log.index", b"./binlog.000001\n./binlog.000002\n")
    assert index in first.files
    assert {"--log-bin=binlog", "--log-bin-index=#phpborg-log.index"} <= set(first.argv)
    assert not {"--skip-log-bin", "--tc-heuristic-recover=COMMIT"} & set(first.argv)
    assert "--skip-log-bin" in second.argv
    assert not [word for word in second.argv if word.startswith("--log-bin")]
    login = Mysql().login(found, name="reader", password="s3cret", read_only=read_only)
    assert login.startswith(b"SET SESSION sql_log_bin = 0;\n")


@pytest.mark.parametrize(("read_only", "way"), [(True, "roll back"), (False, "keep")])
def test_what_clients_had_prepared_goes_only_where_it_would_be_seen(tmp_path, read_only, way):
    found = look(parts.made_mysql(tmp_path / "m"))
    first, second = Mysql().start(found, read_only=read_only).steps
    assert (first.prepared, second.prepared) == (way, "")
    login = Mysql().login(found, name="reader", password="s3cret", read_only=read_only)
    assert b"GRANT XA_RECOVER_ADMIN ON *.* TO 'reader'@'localhost'" in login
