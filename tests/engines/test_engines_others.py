"""MySQL, MongoDB and the two search servers by made or recorded files; the images that may open them."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
from django.utils import translation

from recovery.engines import images, innodb_log, state_files
from recovery.engines.base import DATA, Consistency, Hints, Product, Taken
from recovery.engines.mongodb import Mongodb
from recovery.engines.mysql import Mysql
from recovery.engines.place import Place
from recovery.engines.postgresql import Postgresql
from recovery.engines.search import Search
from recovery.errors import CannotStart, ImageRefused
from tests.engines import engine_parts as parts


@pytest.fixture(autouse=True)
def english():
    with translation.override("en"):
        yield


def look(engine, place, taken=Taken.UNKNOWN):
    found = engine.look(Place(place), Hints(taken=taken))
    assert found is not None
    return found


def test_case_100_made_files_of_mysql_8_are_mysqls(tmp_path):
    found = look(Mysql(), parts.made_mysql(tmp_path / "m"))
    assert (found.product, found.version, found.version_from) == (Product.MYSQL, "8.0.36", "mysql.ibd")
    assert found.facts.page_bytes == 16384


LSN = 46914


def made_log(place, *, after: bytes = b"\0", size: int = 1 << 20, lsn: int = LSN, end: int = LSN) -> None:
    """A log of MariaDB 10.8 with a checkpoint at `lsn`, as a real one of 10.11 was seen to have it."""
    raw = bytearray(size)
    raw[:4], raw[8:16] = b"Phys", (12288).to_bytes(8, "big")
    raw[8192:8208] = lsn.to_bytes(8, "big") + end.to_bytes(8, "big")
    at = 12288 + (lsn - 12288) % (size - 12288)
    mark = b"\xfa\0\0" + lsn.to_bytes(8, "big") + b"\x01\x3e\x02\x44\x77" + after
    raw[at : at + len(mark)] = mark
    place.mkdir(exist_ok=True)
    (place / "ib_logfile0").write_bytes(raw)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        ({}, True),
        ({"after": b"\x39\x00\x2e"}, False),
        ({"end": LSN + 20}, False),
        # The log has begun anew in its file: bytes of the round before may follow.
        ({"lsn": LSN + (1 << 21), "end": LSN + (1 << 21), "after": b"\x39"}, None),
        ({"lsn": LSN + (1 << 21), "end": LSN + (1 << 21)}, True),
        ({"size": 12288 + 200}, True),
    ],
)
def test_what_is_left_in_innodbs_log(tmp_path, made, expected):
    made_log(tmp_path, **made)
    assert innodb_log.is_applied(Place(tmp_path)) is expected


@pytest.mark.parametrize("raw", [b"", b"Phys", b"Phys".ljust(12288, b"\0"), b"\0" * 20000, b"Phys" + b"\xff" * 20000])
def test_a_log_that_is_none_says_nothing(tmp_path, raw):
    (tmp_path / "ib_logfile0").write_bytes(raw)
    assert innodb_log.is_applied(Place(tmp_path)) is None


def test_persisted_settings_and_what_a_running_server_leaves_are_hidden(tmp_path):
    place = parts.made_mysql(tmp_path / "m")
    for name in ("mysqld-auto.cnf", "host.pid", "mysql.sock"):
        (place / name).write_text("")
    found = look(Mysql(), place)
    assert found.stale == (b"host.pid", b"mysql.sock", b"mysqld-auto.cnf")
    assert Mysql().start(found, read_only=True).hide == found.stale


def test_case_100_made_files_of_mariadb_are_mariadbs(tmp_path):
    (tmp_path / "mysql").mkdir()
    (tmp_path / "aria_log_control").write_bytes(b"\xfe\xfe\xfe\x09")
    (tmp_path / "ibdata1").write_bytes(parts.made_system_page(0x15))
    (tmp_path / "mysql/db.frm").write_bytes(parts.made_frm(101106))
    found = look(Mysql(), tmp_path)
    assert (found.product, found.version, found.version_from) == (Product.MARIADB, "10.11.6", "mysql/*.frm")
    assert Mysql().refuse(found, "11.4") == "It needs MariaDB 10.11."
    assert Mysql().refuse(found, "10.11") == ""


def test_made_files_of_mysql_5_7_are_told_by_their_tables(tmp_path):
    (tmp_path / "mysql").mkdir()
    (tmp_path / "ibdata1").write_bytes(parts.made_system_page(0))
    (tmp_path / "mysql/db.frm").write_bytes(parts.made_frm(50744))
    found = look(Mysql(), tmp_path)
    assert (found.product, found.version) == (Product.MYSQL, "5.7.44")


@pytest.mark.parametrize(
    ("flags", "expected"), [(0, 16384), (3 << 6, 4096), (7 << 6, 65536), (0x10 | 5, 16384), (0x13, 4096)]
)
def test_the_size_of_pages_is_that_of_the_flags(tmp_path, flags, expected):
    place = parts.made_mysql(tmp_path / "m")
    (place / "ibdata1").write_bytes(parts.made_system_page(flags))
    found = look(Mysql(), place)
    assert found.facts.page_bytes == expected
    assert f"--innodb-page-size={expected}" in Mysql().start(found, read_only=True).steps[0].argv


def test_mysql_within_a_series_is_not_opened_by_an_older_release(tmp_path):
    found = look(Mysql(), parts.made_mysql(tmp_path / "m"))
    assert Mysql().refuse(found, "8.0.35") == "It needs MySQL 8.0.36+."
    assert [Mysql().refuse(found, version) for version in ("8.0.36", "8.0.40", "8.0")] == ["", "", ""]
    assert Mysql().refuse(found, "8.4") == "It needs MySQL 8.0."


def test_settings_in_the_archive_are_repeated_and_what_they_name_is_mounted(tmp_path):
    place = parts.made_mysql(tmp_path / "var/lib/mysql")
    (tmp_path / "etc/mysql").mkdir(parents=True)
    (tmp_path / "etc/mysql/my.cnf").write_text(
        "[client]\ninnodb_page_size=1\n[mysqld]\nlower-case-table-names = 1 # small\ninnodb_undo_directory=/srv/undo/\n"
    )
    (tmp_path / "srv/undo").mkdir(parents=True)
    found = Mysql().look(Place(tmp_path, b"var/lib/mysql"), Hints())
    assert found is not None
    assert (found.path, found.facts.lower_case_table_names) == (b"var/lib/mysql", 1)
    recipe = Mysql().start(found, read_only=True)
    assert {"--lower-case-table-names=1", "--innodb-undo-directory=/srv/undo/"} <= set(recipe.steps[1].argv)
    assert [(mount.path, mount.target) for mount in recipe.mounts] == [
        (b"var/lib/mysql", DATA),
        (b"srv/undo", "/srv/undo"),
    ]
    shutil.rmtree(tmp_path / "srv")
    assert place.exists()
    with pytest.raises(CannotStart, match="undo /srv/undo"):
        Mysql().start(Mysql().look(Place(tmp_path, b"var/lib/mysql"), Hints()), read_only=True)


def test_a_table_elsewhere_is_named_whether_it_is_there_or_not(tmp_path):
    place = parts.made_mysql(tmp_path / "var/lib/mysql")
    (place / "shop/big.isl").write_text("/srv/big/shop/big.ibd\n")
    (tmp_path / "srv/big/shop").mkdir(parents=True)
    (tmp_path / "srv/big/shop/big.ibd").write_bytes(b"")
    (place / "shop/far.MYD").symlink_to("/gone/far.MYD")
    found = Mysql().look(Place(tmp_path, b"var/lib/mysql"), Hints())
    assert found is not None
    assert [(part.kind, part.wanted, part.path) for part in found.parts] == [
        ("table", b"/srv/big/shop", b"srv/big/shop"),
        ("table", b"/gone", None),
    ]
    assert [mount.target for mount in Mysql().start(found, read_only=True).mounts] == [DATA, "/srv/big/shop"]


@pytest.mark.parametrize("password", ["it's", 'a"b', "back\\slash", "é", "new\nline"])
def test_a_password_that_would_end_its_statement_is_refused(tmp_path, password):
    found = look(Mysql(), parts.made_mysql(tmp_path / "m"))
    with pytest.raises(ValueError, match="password"):
        Mysql().login(found, name="reader", password=password, read_only=True)


@pytest.mark.parametrize("read_only", [True, False])
def test_no_password_is_in_a_recipe(tmp_path, read_only):
    found = look(Mysql(), parts.made_mysql(tmp_path / "m"))
    assert b"'s3cret'" in Mysql().login(found, name="reader", password="s3cret", read_only=read_only)
    recipe = Mysql().start(found, read_only=read_only)
    assert "s3cret" not in repr(recipe)
    assert ("--super-read-only=1" in recipe.steps[1].argv) is read_only
    # Without its binary log a server that was killed may not start; one that only reads shows what was open.
    assert "--tc-heuristic-recover=COMMIT" in recipe.steps[0].argv
    assert "--tc-heuristic-recover=COMMIT" not in recipe.steps[1].argv
    assert bool(recipe.steps[0].settled) is read_only


def test_made_files_of_mongodb_tell_the_series_and_whether_it_was_shut_down(tmp_path):
    found = look(Mongodb(), parts.made_mongodb(tmp_path / "m", "6.0", "6.0"))
    assert (found.version, found.clean, found.consistency) == ("6.0", True, Consistency.CLEAN)
    assert (found.facts.wiredtiger, found.facts.options) == ("11.0.1", ("directoryperdb",))
    assert Mongodb().refuse(found, "7.0.5") == "It needs MongoDB 6.0."
    assert Mongodb().refuse(found, "6.0.15") == ""
    running = look(Mongodb(), parts.made_mongodb(tmp_path / "r", "6.0", lock="4711\n"))
    assert (running.clean, running.consistency, running.stale) == (False, Consistency.DOUBTFUL, (b"mongod.lock",))


@pytest.mark.parametrize("features", [(), ("5.0", "6.0")])
def test_a_series_that_the_files_do_not_agree_on_is_not_known_and_refused(tmp_path, features):
    found = look(Mongodb(), parts.made_mongodb(tmp_path / "m", *features))
    assert found.version is None
    assert str(Mongodb().refuse(found, "6.0")) == "The version of its files is not known."
    with pytest.raises(CannotStart, match="version"):
        images.choose(Mongodb(), found)
    with pytest.raises(ImageRefused):
        images.choose(Mongodb(), found, wanted="mongo:6.0")
    assert images.choose(Mongodb(), found, wanted="mongo:6.0", openly=True).name == "mongo:6.0"


def test_made_files_of_a_replica_set_s_member_have_their_oplog_applied_where_the_server_can(tmp_path):
    place = parts.made_mongodb(tmp_path / "m", "6.0")
    (place / "collection-2--7.wt").write_bytes(b"\x03settings\0....\x07replicaSetId\0")
    found = look(Mongodb(), place)
    assert (found.facts.member, found.facts.shard) == (True, False)
    assert "replica_set" in [note.code for note in found.notes]
    replay, making, serving = Mongodb().start(found, read_only=True).steps
    assert replay.argv[-3::2] == ("recoverFromOplogAsStandalone=true", "takeUnstableCheckpointOnShutdown=true")
    assert "--noauth" in replay.argv
    assert (replay.login, making.login, serving.login) == ("", "client", "")
    assert "--noauth" in making.argv
    assert "--auth" in serving.argv
    for step in (replay, making, serving):
        assert {"ttlMonitorEnabled=false", "enableLocalhostAuthBypass=false"} <= set(step.argv)
        assert step.argv[step.argv.index("--bind_ip") + 1] == "/phpborg/run/mongodb-27017.sock"
        assert "--replSet" not in step.argv
    for series, code in (("5.0", ["checkpoint"]), ("3.6", [])):
        said = look(Mongodb(), parts.made_mongodb(tmp_path / series, series))
        assert not {"checkpoint", "replica_set"} & {note.code for note in said.notes}
        (tmp_path / series / "collection-2--7.wt").write_bytes(b"\x07replicaSetId\0")
        said = look(Mongodb(), tmp_path / series)
        assert [note.code for note in said.notes if note.code in ("checkpoint", "replica_set")] == code
    old = replace(found, version="5.0")
    assert len(Mongodb().start(old, read_only=True).steps) == 2
    first = Mongodb().start(replace(found, version="3.4"), read_only=True).steps[0].argv
    assert first[first.index("--bind_ip") + 1] == "127.0.0.1"


def test_made_files_of_a_shard_start_alone(tmp_path):
    place = parts.made_mongodb(tmp_path / "m", "6.0")
    (place / "collection-2--7.wt").write_bytes(b"\x02_id\0\x0e\0\0\0shardIdentity\0")
    found = look(Mongodb(), place)
    assert (found.facts.member, found.facts.shard) == (False, True)
    for step in Mongodb().start(found, read_only=True).steps:
        assert "skipShardingConfigurationChecks=true" in step.argv


def test_the_login_of_mongodb_reads_and_a_sandbox_has_all_rights(tmp_path):
    found = look(Mongodb(), parts.made_mongodb(tmp_path / "m", "6.0"))
    reads, writes = (
        [json.loads(line) for line in Mongodb().login(found, name="phpborg", password="x", read_only=only).splitlines()]
        for only in (True, False)
    )
    assert reads[0] == {"delete": "system.users", "deletes": [{"q": {}, "limit": 0}]}
    assert {row["role"] for row in reads[1]["roles"]} == {"readAnyDatabase", "clusterMonitor", "read"}
    assert [row["role"] for row in writes[1]["roles"]] == ["root"]


def test_another_user_of_wiredtiger_is_not_mongodb(tmp_path):
    for name in ("WiredTiger", "WiredTiger.turtle"):
        (tmp_path / name).write_text("")
    assert Mongodb().look(Place(tmp_path), Hints()) is None


@pytest.mark.parametrize("inside", ["nodes/0/_state", "_state"])
def test_a_recorded_node_of_opensearch_is_told_from_elasticsearch(tmp_path, inside):
    found = look(Search(), parts.node(tmp_path / "d", inside))
    assert (found.product, found.version) == (Product.OPENSEARCH, "2.19.6")
    assert found.facts.node_id == "JSxpFtSpR7u001-_-MJ8mA"
    assert found.stale == (inside.removesuffix("_state").encode() + b"node.lock",)
    assert Search().refuse(found, "2.19.5") == "It needs OpenSearch 2.19.6+."
    assert [Search().refuse(found, version) for version in ("2.19.6", "2.20", "2.19")] == ["", "", ""]
    assert Search().refuse(found, "3.0.0")


@pytest.mark.parametrize(
    ("number", "expected"), [(7170099, ("7.17.0", False)), (8110499, ("8.11.4", False)), (136408427, ("2.19.6", True))]
)
def test_a_version_as_a_number(number, expected):
    assert state_files.version(number) == expected


@pytest.mark.parametrize("at", [0, 30, 60, 85])
def test_a_changed_byte_in_a_nodes_state_is_seen(tmp_path, at):
    raw = bytearray(parts.OPENSEARCH_NODE)
    raw[at] ^= 1
    found = look(Search(), parts.node(tmp_path / "d", raw=bytes(raw)))
    assert (found.version, found.facts.node_id) == (None, None)
    assert "damaged" in {note.code for note in found.notes}


@pytest.mark.parametrize("raw", [b"", b"\x3f\xd7\x6c\x17\x05state", parts.OPENSEARCH_NODE[:40]])
def test_what_is_no_state_is_none(raw):
    assert state_files.content(raw) is None


def test_a_node_is_started_alone_on_its_own_loopback_and_what_must_be_kept_from_writing_is_said(tmp_path):
    recipe = Search().start(look(Search(), parts.node(tmp_path / "d")), read_only=True)
    (step,) = recipe.steps
    assert {"-Ediscovery.type=single-node", "-Enetwork.host=127.0.0.1"} <= set(step.argv)
    assert (recipe.network, recipe.read_only_by, recipe.listen) == ("none", "relay", "tcp:127.0.0.1:9200")
    assert any("read_only" in one for one in step.after)
    assert step.after[-1].startswith("POST /_msearch ")


def test_images_are_those_of_the_settings(tmp_path, settings):
    found = look(Postgresql(), parts.cluster(tmp_path / "p"))
    assert images.choose(Postgresql(), found) == images.Image("postgres:15", "15")
    settings.RECOVERY_REGISTRY = "registry.example:5000/mirror/"
    assert images.choose(Postgresql(), found).name == "registry.example:5000/mirror/postgres:15"
    settings.RECOVERY_TAGS = {"postgresql-15": "own/pg@sha256:00"}
    assert images.choose(Postgresql(), found) == images.Image("own/pg@sha256:00", "15")


def test_case_98_only_an_image_of_the_version_or_an_open_choice_is_taken(tmp_path):
    found = look(Postgresql(), parts.cluster(tmp_path / "p", version="13"))
    with pytest.raises(ImageRefused, match="It needs PostgreSQL 13"):
        images.choose(Postgresql(), found, wanted="postgres:15")
    with pytest.raises(ImageRefused):
        images.choose(Postgresql(), found, wanted="registry:5000/postgres")
    assert images.choose(Postgresql(), found, wanted="postgres:15", openly=True).version == "15"


def test_the_most_exact_exception_counts(tmp_path, settings):
    settings.RECOVERY_TAGS = {"mysql-8": "a:8.0", "mysql-8.0": "b:8.0.40", "mysql-8.0.36": "c:8.0.36-oracle"}
    found = look(Mysql(), parts.made_mysql(tmp_path / "m"))
    assert images.choose(Mysql(), found) == images.Image("c:8.0.36-oracle", "8.0.36")
    del settings.RECOVERY_TAGS["mysql-8.0.36"]
    assert images.choose(Mysql(), found).name == "b:8.0.40"
