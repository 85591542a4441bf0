"""What is found in an archive, where, and when the search says that it did not see all."""

from __future__ import annotations

import pytest

from recovery.engines.base import Consistency, Hints, Product, Taken
from recovery.engines.find import find
from tests.engines import engine_parts as parts


@pytest.mark.parametrize(
    "path", ["var/lib/postgresql/15/main", "snap/x/pgsql/var/lib/postgresql/15/main", "srv/pg two", "", "usr/local/pg"]
)
def test_case_109_a_cluster_is_found_wherever_it_lies(tmp_path, path):
    parts.cluster(tmp_path / path)
    (found,) = find(tmp_path).found
    assert (found.path, found.product, found.version) == (path.encode(), Product.POSTGRESQL, "15")


def test_case_109_two_clusters_in_one_archive_are_two(tmp_path):
    parts.cluster(tmp_path / "var/lib/postgresql/15/main")
    parts.cluster(tmp_path / "srv/old", "13", "13")
    answer = find(tmp_path)
    assert [(one.path, one.version) for one in answer.found] == [
        (b"srv/old", "13"),
        (b"var/lib/postgresql/15/main", "15"),
    ]
    assert answer.whole


def test_case_109_an_archive_of_dumps_has_no_data_directory(tmp_path):
    (tmp_path / "postgresql").mkdir()
    (tmp_path / "postgresql/0001-shop.sql").write_text("-- \n")
    answer = find(tmp_path)
    assert (answer.found, answer.holds_dumps, answer.whole) == ((), True, True)


def test_a_repository_of_snapshots_is_no_data_directory(tmp_path):
    (tmp_path / "repo/indices").mkdir(parents=True)
    for name in ("index.latest", "index-0", "meta-abc.dat"):
        (tmp_path / "repo" / name).write_bytes(b"")
    answer = find(tmp_path)
    assert (answer.found, answer.holds_dumps, answer.holds_snapshots) == ((), False, True)


def test_an_archive_of_files_has_neither(tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/hosts").write_text("")
    answer = find(tmp_path)
    assert (answer.found, answer.holds_dumps) == ((), False)


def test_the_bound_of_the_walk_is_said_and_known_places_are_looked_at_before(tmp_path):
    for number in range(30):
        (tmp_path / f"a{number:02}").mkdir()
    parts.cluster(tmp_path / "var/lib/postgresql/15/main")
    parts.cluster(tmp_path / "z/deep/hidden")
    parts.cluster(tmp_path / "z/deep/hinted")
    answer = find(tmp_path, Hints(directories=(b"z/deep/hinted",)), most_folders=10)
    assert [one.path for one in answer.found] == [b"var/lib/postgresql/15/main", b"z/deep/hinted"]
    assert (answer.whole, answer.folders) == (False, 10)


def test_many_names_in_one_folder_end_the_walk_too(tmp_path):
    for number in range(50):
        (tmp_path / f"{number}").write_text("")
    assert not find(tmp_path, most_names=20).whole


def test_a_hint_that_leads_upwards_or_nowhere_is_no_place(tmp_path):
    parts.cluster(tmp_path / "outside")
    (tmp_path / "root").mkdir()
    assert find(tmp_path / "root", Hints(directories=(b"../outside", b"gone", b"/gone"))).found == ()


def test_a_link_out_of_the_archive_is_not_followed(tmp_path):
    parts.cluster(tmp_path / "outside")
    (tmp_path / "root/var/lib").mkdir(parents=True)
    (tmp_path / "root/var/lib/mysql").symlink_to(tmp_path / "outside")
    (tmp_path / "root/link").symlink_to(tmp_path / "outside")
    assert find(tmp_path / "root").found == ()


def test_a_name_that_is_not_utf8_is_a_place_like_any_other(tmp_path):
    import os

    odd = os.fsdecode(b"caf\xe9")
    parts.cluster(tmp_path / odd / "pg")
    (found,) = find(tmp_path).found
    assert found.path == b"caf\xe9/pg"


def test_a_mount_that_is_gone_is_not_an_empty_archive(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        find(tmp_path / "gone")


def test_every_engine_in_one_archive_is_recognised(tmp_path):
    parts.cluster(tmp_path / "var/lib/postgresql/15/main")
    parts.made_mysql(tmp_path / "var/lib/mysql")
    parts.made_mongodb(tmp_path / "data/db", "6.0")
    parts.node(tmp_path / "srv/one")
    products = {one.path: one.product for one in find(tmp_path).found}
    assert products == {
        b"var/lib/postgresql/15/main": Product.POSTGRESQL,
        b"var/lib/mysql": Product.MYSQL,
        b"data/db": Product.MONGODB,
        b"srv/one": Product.OPENSEARCH,
    }


def test_two_directories_of_one_node_are_one_server(tmp_path):
    parts.node(tmp_path / "srv/one")
    parts.node(tmp_path / "srv/two")
    (found,) = find(tmp_path, Hints(taken=Taken.FROZEN)).found
    assert [(part.path, part.wanted) for part in found.parts] == [(b"srv/two", b"/phpborg/data-1")]
    assert found.consistency == Consistency.CRASH
