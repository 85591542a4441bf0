"""A drill of a whole application out of its archive: good ones pass, planted faults are named, nothing is left."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backups.models import Archive
from dockerops.drill_manifest import LABEL
from phpborg.tasks.models import Lease
from recovery.checks.base import Query
from recovery.models import Depth, Proof
from recovery.services import proof_plan, proofs
from tests.dockerops.drill_show import OTHER, PG, PLACE, ROWS, Shop, files_of, images, with_fault
from tests.dockerops.product import Products, Run
from tests.dockers.backing import clear
from tests.support.archives import Storage, storage
from tests.support.bridged import Bridged, engines

__all__ = ["storage"]
pytestmark = [pytest.mark.real, pytest.mark.django_db]
State = Proof.State
Fault = Callable[[Path, dict[str, Any]], None]


@pytest.fixture(scope="module")
def engine() -> Iterator[Bridged]:
    with engines("docker-drill") as (one,):
        clear(one)
        # The engine's directory outlives a run that was killed.
        for left in one.data.glob(".phpborg-*"):
            shutil.rmtree(left)
        yield one
        clear(one)


@pytest.fixture(scope="module")
def shop(engine: Bridged) -> Iterator[Shop]:
    place = Path(tempfile.mkdtemp(prefix="phpborg-drill-"))
    place.chmod(0o755)
    one = Shop(place)
    one.start(engine)
    yield one
    clear(engine)
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def products(storage: Storage, run_pending: Run) -> Products:
    return Products(storage, run_pending)


@pytest.fixture
def archive(products: Products, engine: Bridged, shop: Shop) -> Archive:
    products.look_at(products.storage.server, engine)
    return products.back_up(products.job())


def drill(products: Products, engine: Bridged, archive: Archive, *queries: Query) -> Proof:
    asked = tuple(query.as_json() for query in queries)
    choices = proofs.Choices(depth=Depth.START, docker=str(engine.socket), queries=asked)
    proof = proofs.draft(archive=archive, choices=choices)
    assert [step.code for step in proof_plan.steps(proof)][-2:] == ["drill-remove", "stamp"]
    task = proofs.start(proof=proof)
    products.run_pending("proof")
    task.refresh_from_db()
    proof.refresh_from_db()
    archive.refresh_from_db()
    return proof


def told(proof: Proof) -> Any:
    return (proof.state, proof.error_code, proof.error_facts, proof.error_detail)


GOOD = (
    Query("db", "SELECT count(*) FROM kettle", (str(ROWS),)),
    Query("shop/db/postgres", "SELECT max(at) FROM kettle", ("younger than 2 h",)),
    Query("web:8000/", "HTTP", ("200", "open for business")),
)


def test_a_good_one_passes_and_leaves_nothing(
    products: Products, engine: Bridged, shop: Shop, archive: Archive
) -> None:
    before = shop.everything(engine)
    proof = drill(products, engine, archive, *GOOD)
    assert told(proof)[:3] == (State.PROVEN, "", {}), told(proof)
    seen = proof.evidence["drill"]
    assert {row["name"]: (row["state"], row["health"]) for row in seen["containers"]} == {
        "shop_db_1": ("running", "healthy"),
        "shop_web_1": ("running", None),
    }
    assert [(row["engine"], row["problems"], row["tables"] > 60) for row in seen["databases"]] == [
        ("postgresql", [], True)
    ]
    assert seen["databases"][0]["indexes"] > 50
    assert [row["is_good"] for row in seen["questions"]] == [True] * 3
    assert [row["where"] for row in seen["left"]] == ["watcher"]
    times = seen["times"]
    assert 0 < times["first_healthy_seconds"] < times["all_healthy_seconds"] < times["checked_seconds"]
    # Not all of it could be started: that depth is not reached.
    assert (proof.reached, archive.proven_depth) == (Depth.READ, Depth.READ)
    assert "canary" not in str(proof.evidence)
    untouched(products, engine, shop, before)


def untouched(products: Products, engine: Bridged, shop: Shop, before: dict[str, Any]) -> None:
    after = shop.everything(engine)
    assert after == before
    assert shop.traces(engine) == []
    assert engine.docker("ps", "--all", "--quiet", "--filter", f"label={LABEL}").stdout == ""
    assert not Lease.objects.held().exists()


def empty_volume(place: Path, manifest: dict[str, Any]) -> None:
    for path in files_of(place, manifest, "files").iterdir():
        path.unlink()


def missing_wal(place: Path, manifest: dict[str, Any]) -> None:
    for path in (files_of(place, manifest, "data") / "pg/pg_wal").iterdir():
        if path.is_file():
            path.unlink()


def missing_environment(place: Path, manifest: dict[str, Any]) -> None:
    for path in manifest["projects"][0]["environment_files"]:
        (place / path.lstrip("/")).unlink()


def other_image(place: Path, manifest: dict[str, Any]) -> None:
    """What was saved as the database's image is another one."""
    rows = {tag: row for row in manifest["images"] for tag in row["tags"]}
    shutil.copy(place / PLACE / rows["phpborg-test/shop-web:1"]["stream"], place / PLACE / rows[PG]["stream"])


def truncated(table: str) -> Fault:
    def fault(place: Path, manifest: dict[str, Any]) -> None:
        file = files_of(place, manifest, "data") / "pg" / table
        with file.open("r+b") as opened:
            opened.truncate(file.stat().st_size // 8192 // 2 * 8192)

    return fault


def test_each_planted_fault_is_named_and_nothing_is_left(
    products: Products, engine: Bridged, shop: Shop, archive: Archive
) -> None:
    """Row D7, show 6: of one archive, which is good without them."""
    before = shop.everything(engine)
    faults: dict[str, tuple[Fault, str, tuple[str, ...]]] = {
        "empty volume": (empty_volume, "DRL-02", ("shop_files", "is empty")),
        "missing environment file": (missing_environment, "DRL-02", ("/.env",)),
        "missing WAL": (missing_wal, "DRL-05", ("shop_db_1", "PANIC", "checkpoint")),
        "truncated file": (truncated(shop.table), "DRL-06", ("shop_db_1", "kettle")),
    }
    for name, (fault, code, words) in faults.items():
        bad = with_fault(products.storage, archive, shop.place / "bad", name.replace(" ", "-"), fault)
        proof = drill(products, engine, bad)
        assert (proof.state, proof.error_code) == (State.FAILED, code), (name, told(proof))
        # What a database wrote last is for those who operate alone.
        seen = f"{proof.error_facts} {proof.error_detail} {proof.evidence['drill'].get('containers')}"
        assert "PANIC" not in proof.error_detail
        for word in words:
            assert word in seen, (name, told(proof))
        assert bad.proven_at is None
        untouched(products, engine, shop, before)


@pytest.mark.long
def test_an_image_comes_out_of_the_archive_or_is_told_to_be_another(
    products: Products, engine: Bridged, shop: Shop, archive: Archive
) -> None:
    """Row D7, show 6, the fifth fault; and the very same state of the machine with the archive as it was made."""
    bad = with_fault(products.storage, archive, shop.place / "bad", "other-image", other_image)
    replace_image(engine)
    try:
        before = shop.everything(engine)
        proof = drill(products, engine, bad)
        assert (proof.state, proof.error_code) == (State.FAILED, "DRL-03"), told(proof)
        assert proof.error_facts["container"] == "shop_db_1"
        untouched(products, engine, shop, before)

        # The very same state of the machine, and the archive without a fault: its image is borrowed.
        good = drill(products, engine, archive)
        assert good.state == State.PROVEN, told(good)
        untouched(products, engine, shop, before)
    finally:
        bring_back(engine, shop)


def replace_image(engine: Bridged) -> None:
    """By now the name of the database's image means another one, and production's container is gone."""
    identity = engine.docker("image", "inspect", "--format", "{{.Id}}", PG).stdout.strip()
    tags = engine.docker("image", "inspect", "--format", '{{join .RepoTags " "}}', PG).stdout.split()
    engine.docker("rm", "--force", "shop_db_1")
    engine.docker("rmi", "--force", *tags)
    assert engine.docker("image", "inspect", identity, check=False).returncode != 0
    engine.docker("tag", OTHER, PG)


def bring_back(engine: Bridged, shop: Shop) -> None:
    images(engine)
    shop.compose(engine, "up", "--detach")


@pytest.mark.long
def test_an_image_that_is_nowhere_is_told_and_disproves_nothing(
    products: Products, engine: Bridged, shop: Shop
) -> None:
    products.look_at(products.storage.server, engine)
    archive = products.back_up(products.job(images="digests"))
    replace_image(engine)
    try:
        before = shop.everything(engine)
        proof = drill(products, engine, archive)
        assert (proof.state, proof.error_code) == (State.FAILED, "DRL-04"), told(proof)
        assert proof.error_facts["container"] == "shop_db_1"
        untouched(products, engine, shop, before)
    finally:
        bring_back(engine, shop)


WRONG = (
    (Query("db", "SELECT count(*) FROM kettle", ("7",)), "PRF-07"),
    (Query("db", "SELECT '2001-01-01'", ("younger than 24 h",)), "PRF-07"),
    (Query("db", "SELECT nothing FROM nowhere", None), "PRF-08"),
    (Query("web:8000/none.html", "HTTP", ("200",)), "PRF-07"),
    (Query("web:8001", "HTTP", ("200",)), "PRF-08"),
    (Query("nobody", "SELECT 1", None), "DRL-10"),
)


@pytest.mark.long
def test_questions_that_are_answered_otherwise(
    products: Products, engine: Bridged, shop: Shop, archive: Archive
) -> None:
    proof = drill(products, engine, archive, *(query for query, _ in WRONG), *GOOD)
    # The first of them is the proof's error, the others are in its evidence.
    assert (proof.state, proof.error_code) == (State.FAILED, WRONG[0][1]), told(proof)
    rows = proof.evidence["drill"]["questions"]
    assert [row["is_good"] for row in rows] == [False] * len(WRONG) + [True] * len(GOOD)
    assert "nowhere" in rows[2]["detail"]
    assert rows[3]["answer"][0] == "404"


def test_a_container_of_a_drill_reaches_nothing(
    products: Products, engine: Bridged, shop: Shop, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dockerops.services import drilling

    seen: dict[str, Any] = {}
    check = drilling.DrillRun._check

    def look(run: Any) -> None:
        rows = {}
        for name in run.names.values():
            rows[name] = json.loads(engine.docker("inspect", name).stdout)[0]
        seen["rows"] = rows
        made = engine.docker("network", "ls", "--quiet", "--filter", f"label={LABEL}").stdout.split()
        seen["networks"] = json.loads(engine.docker("network", "inspect", *made).stdout)
        seen["addresses"] = engine.inside(["ip", "-4", "-o", "addr"]).stdout.decode()
        check(run)

    monkeypatch.setattr(drilling.DrillRun, "_check", look)
    proof = drill(products, engine, archive)
    assert proof.state == State.PROVEN, told(proof)
    for network in seen["networks"]:
        assert network["Internal"]
        assert f"br-{network['Id'][:12]}" not in seen["addresses"]  # not even the machine is there
    assert len(seen["rows"]) == 2
    for name, row in seen["rows"].items():
        assert name.startswith("phpborg-drill-")
        assert row["HostConfig"]["RestartPolicy"]["Name"] == "no"
        assert not row["HostConfig"]["PortBindings"]
        assert set(row["NetworkSettings"]["Networks"]) <= {one["Name"] for one in seen["networks"]}
        assert not [label for label in row["Config"]["Labels"] if "traefik" in label]
        for mount in row["Mounts"]:
            inside = mount["Source"].startswith("/var/lib/phpborg/docker-drill/")
            assert inside or mount.get("Name", "").startswith("phpborg-drill-")
    assert seen["rows"]["phpborg-drill-" + name_end(seen, "_db_1")]["HostConfig"]["Memory"] == 256 << 20


def name_end(seen: dict[str, Any], ending: str) -> str:
    return next(str(name) for name in seen["rows"] if name.endswith(ending)).removeprefix("phpborg-drill-")
