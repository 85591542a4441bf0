"""What phpBorg finds on the laboratory's servers is what they are (tests/lab/truth), as root and by sudo."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from servers.capabilities.advice import advise
from servers.capabilities.cards import paths_of, size_of
from servers.capabilities.report import SCHEMA, parse
from servers.services import capabilities_run
from servers.transport import host_for
from servers.transport.base import Host, Target
from tests.lab.guest import Guest
from tests.lab.loops import Place
from tests.lab.opensearch import Node
from tests.lab.servers import LabServer
from tests.lab.truth import servers as truths
from tests.lab.truth.matching import differences
from tests.lab.truth.parts import mount
from tests.support.sshd import Lab, local_target

pytestmark = pytest.mark.lab
Row = dict[str, Any]


@pytest.fixture
def asked(record_property: Any) -> Any:
    """`asked(target)`: a whole answer; the seconds that it took are told, and judged by nobody."""

    def ask(target: Target) -> Row:
        answer: Row = of(host_for(target))
        record_property("seconds", answer["seconds"])
        assert (answer["schema"], set(answer)) == (SCHEMA, {"schema", "taken_at", "seconds", "probes"})
        assert {name: probe["problem"] for name, probe in answer["probes"].items() if probe["state"] != "ok"} == {}
        return answer

    return ask


def of(host: Host) -> Row:
    """As the product asks."""
    limits = {"seconds": capabilities_run.PROBE_SECONDS, "size_seconds": capabilities_run.SIZE_SECONDS}
    return dict(host.call("capabilities", limits, timeout=capabilities_run.LIMIT_SECONDS))


def facts(answer: Row) -> Row:
    return {name: probe["facts"] for name, probe in answer["probes"].items()}


def frozen(answer: Row) -> Row:
    """What is said of a snapshot of each database server."""
    report = parse(answer)
    found: list[Any] = [*report.postgresql.clusters, *report.mysql.instances]  # type: ignore[union-attr]
    advices = {one.id: advise(report, paths_of(one), size_of(one)).as_json() for one in found}
    names = ("possible", "code", "kind", "volume", "size_bytes")
    return {name: {part: advice[part] for part in names} for name, advice in advices.items()}


def agree(truth: Any, found: Any) -> None:
    told = list(differences(truth, found))
    assert not told, "\n".join(told)


def compare(answer: Row, truth: Row, freezing: Row) -> None:
    agree(truth, facts(answer))
    agree(freezing, frozen(answer))


def empty(machine: Any, port: int = 0) -> None:
    """As it was built: other tests have made databases there."""
    if port:
        for name in machine.sql("SELECT datname FROM pg_database", port=port).splitlines():
            if name not in ("postgres", "template0", "template1"):
                machine.sql('DROP DATABASE "{}"'.format(name.replace('"', '""')), port=port)
        return
    ask = machine.mariadb if isinstance(machine, Guest) else machine.sql
    for name in ask("SHOW DATABASES").splitlines():
        if not name.startswith("#") and name not in ("mysql", "sys", "information_schema", "performance_schema"):
            ask("DROP DATABASE `{}`".format(name.replace("`", "``")))


@pytest.mark.parametrize("way", ["target", "sudo_target"])
def test_two_clusters_in_a_container(postgresql_server: LabServer, asked: Any, way: str) -> None:
    for port in (5432, 5433):
        empty(postgresql_server, port)
    postgresql_server.install_helper()
    postgresql_server.install_sudoers()
    compare(asked(getattr(postgresql_server, way)()), truths.POSTGRESQL, truths.POSTGRESQL_FROZEN)


@pytest.mark.parametrize("way", ["target", "sudo_target"])
def test_mariadb_in_a_container(mariadb_server: LabServer, asked: Any, way: str) -> None:
    empty(mariadb_server)
    mariadb_server.install_helper()
    mariadb_server.install_sudoers()
    compare(asked(getattr(mariadb_server, way)()), truths.MARIADB, truths.MARIADB_FROZEN)


@pytest.mark.parametrize("way", ["target", "sudo_target"])
def test_the_machine_with_lvm(guest: Guest, asked: Any, way: str) -> None:
    guest.execute(("sh", "-c", "pg_ctlcluster 15 main status || pg_ctlcluster 15 main start"))
    guest.execute(("sh", "-c", "service mariadb status >/dev/null 2>&1 || service mariadb start"))
    empty(guest)
    guest.install_helper()
    compare(asked(getattr(guest, way)()), truths.GUEST, truths.GUEST_FROZEN)


@pytest.fixture(scope="module")
def here() -> Iterator[Target]:
    """This machine, as root."""
    lab = Lab.create()
    yield local_target(lab)
    lab.remove()


def test_search_engine_documents_and_filesystems_here(
    here: Target, asked: Any, opensearch_node: Node, ferretdb: Any, btrfs_place: Place, ext4_place: Place
) -> None:
    """This machine has more than the laboratory: of that nothing is said."""
    found = facts(asked(here))
    (node,) = [one for one in found["elasticsearch"]["nodes"] if one["port"] == opensearch_node.port]
    agree(truths.node(str(opensearch_node.place), opensearch_node.port), node)
    (store,) = [one for one in found["mongodb"]["instances"] if one["port"] == ferretdb.port]
    agree(truths.documents(ferretdb.port), store)
    (filesystem,) = [one for one in found["btrfs"]["filesystems"] if one["devices"] == [btrfs_place.device]]
    agree(truths.btrfs(btrfs_place.device, str(btrfs_place.path)), filesystem)
    by_target = {one["target"]: one for one in found["mounts"]["mounts"]}
    for place in (btrfs_place, ext4_place):
        truth = mount(str(place.path), place.device, place.kind, truths.Number(400 << 20, 512 << 20))
        agree(truth, by_target[str(place.path)])
