"""A database that was dumped inside its container under load comes back from its dump; its volume alone is torn."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backups.models import Archive
from dockerops.drill_manifest import LABEL
from dockerops.models import DockerRestore
from dockerops.options import Options
from dockerops.services import planning
from phpborg.tasks.models import Lease
from recovery.checks.base import Query
from tests.dockerops.drill_show import PLACE, with_fault
from tests.dockerops.dump_show import PASSWORD, Kiosk, sql
from tests.dockerops.product import Products, Run
from tests.dockerops.test_drill_real import State, drill, told
from tests.dockers.backing import clear
from tests.support.archives import Storage, storage
from tests.support.bridged import Bridged, engines

__all__ = ["storage"]
pytestmark = [pytest.mark.real, pytest.mark.django_db]
COUNT = "SELECT count(*), sum(id), (SELECT count(*) FROM twin) FROM kettle"


@pytest.fixture
def engine() -> Iterator[Bridged]:
    with engines("docker-dump") as (one,):
        clear(one)
        yield one
        clear(one)


@pytest.fixture
def kiosk(engine: Bridged) -> Iterator[Kiosk]:
    place = Path(tempfile.mkdtemp(prefix="phpborg-dump-"))
    place.chmod(0o755)
    one = Kiosk(place)
    one.start(engine)
    yield one
    clear(engine)
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def kiosk_beside(engine: Bridged) -> Iterator[Kiosk]:
    place = Path(tempfile.mkdtemp(prefix="phpborg-dump-"))
    place.chmod(0o755)
    one = Kiosk(place, "./pg")
    one.start(engine)
    yield one
    clear(engine)
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def products(storage: Storage, run_pending: Run) -> Products:
    return Products(storage, run_pending)


class Torn:
    """The archive of a backup under load, whose copy of the data has lost what a start needs."""

    def __init__(self, products: Products, engine: Bridged, kiosk: Kiosk) -> None:
        products.look_at(products.storage.server, engine)
        job = products.job(images="digests", quiesce={"default": "none", "containers": {"kiosk/db": "dump"}})
        with kiosk.load(engine):
            whole = products.back_up(job)
        self.rows = ""
        self.archive: Archive = with_fault(products.storage, whole, kiosk.place / "torn", "torn", self._tear)

    def _tear(self, place: Path, manifest: dict[str, Any]) -> None:
        dump = (place / PLACE / manifest["dumps"][0]["path"]).read_text()
        blocks = dict(re.findall(r"^COPY public\.(\w+) .*?;\n(.*?)^\\\.$", dump, re.MULTILINE | re.DOTALL))
        numbers = [int(line.split("\t")[0]) for line in blocks["kettle"].splitlines()]
        self.rows = f"{len(numbers)}|{sum(numbers)}|{len(blocks['twin'].splitlines())}"
        for control in place.rglob("global/pg_control"):
            control.write_bytes(b"torn")


def restored(products: Products, archive: Archive, options: Options | None = None) -> tuple[DockerRestore, Any]:
    restore = products.draft(archive, products.storage.server, options=options)
    products.agree(restore)
    task = products.restore(restore)
    restore.refresh_from_db()
    return restore, task


def test_a_torn_database_comes_back_as_its_dump_has_it(products: Products, engine: Bridged, kiosk: Kiosk) -> None:
    torn = Torn(products, engine, kiosk)
    sql(engine, "DELETE FROM twin; DELETE FROM kettle; CREATE TABLE later (n int)")
    restore, task = restored(products, torn.archive)
    assert task.state == "success", (task.error_code, task.error_detail, task.log_tail)
    assert sql(engine, COUNT) == torn.rows
    assert sql(engine, "SELECT to_regclass('later'), has_table_privilege('clerk', 'kettle', 'SELECT')") == "|t"
    assert (kiosk.volume(engine, "more") / "note").read_text() == "beside the database"
    ops = [step.op for step in planning.stored_plan(restore).steps]
    assert ops.index("load_dump") < [i for i, op in enumerate(ops) if op == "start"][1]
    (row,) = [step for step in task.steps if "dump into it" in str(step)]
    assert row["detail"].startswith("2 · "), row
    assert PASSWORD not in f"{task.log_tail} {restore.plan} {restore.report}"

    # One click, and the newer database is back.
    assert products.roll_back(restore).state == "success"
    assert sql(engine, "SELECT to_regclass('later'), (SELECT count(*) FROM kettle)") == "later|0"
    assert not Lease.objects.held().exists()


@pytest.mark.long
def test_a_drill_of_a_torn_archive_proves_its_dump(products: Products, engine: Bridged, kiosk: Kiosk) -> None:
    torn = Torn(products, engine, kiosk)
    before = sql(engine, COUNT)
    rows = Query("kiosk/db/shop", "SELECT count(*) FROM kettle", (torn.rows.partition("|")[0],))
    proof = drill(products, engine, torn.archive, rows)
    assert told(proof)[:3] == (State.PROVEN, "", {}), told(proof)
    assert sql(engine, COUNT) == before
    assert engine.docker("ps", "--all", "--quiet", "--filter", f"label={LABEL}").stdout == ""

    # A dump that its database refuses disproves the archive.
    bad = with_fault(products.storage, torn.archive, kiosk.place / "bad", "bad", refused)
    proof = drill(products, engine, bad)
    assert (proof.state, proof.error_code) == (State.FAILED, "DRL-12"), told(proof)
    assert engine.docker("ps", "--all", "--quiet", "--filter", f"label={LABEL}").stdout == ""


def refused(place: Path, manifest: dict[str, Any]) -> None:
    row = manifest["dumps"][0]
    dump = place / PLACE / row["path"]
    text = dump.read_text()
    dump.write_text(text.replace("CREATE TABLE public.twin", "CREATE TABEL public.twin"))
    assert dump.stat().st_size == row["bytes"]


@pytest.mark.long
def test_as_it_lay_a_torn_database_does_not_start_and_all_is_undone(
    products: Products, engine: Bridged, kiosk: Kiosk
) -> None:
    torn = Torn(products, engine, kiosk)
    before = sql(engine, COUNT)
    options = Options(as_it_lay=("kiosk_db_1",), wait_minutes=1)
    restore, task = restored(products, torn.archive, options)
    assert task.state == "failed", (task.error_code, task.log_tail)
    assert restore.state == DockerRestore.State.ROLLED_BACK
    assert sql(engine, COUNT) == before


@pytest.mark.long
def test_data_in_a_directory_beside_come_back_from_the_dump_too(
    products: Products, engine: Bridged, kiosk_beside: Kiosk
) -> None:
    torn = Torn(products, engine, kiosk_beside)
    sql(engine, "DROP TABLE twin")
    _restore, task = restored(products, torn.archive)
    assert task.state == "success", (task.error_code, task.error_detail, task.log_tail)
    assert sql(engine, COUNT) == torn.rows
