"""Docker as a source: what is read of an engine, what is not and why, and how containers are kept still."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import translation

from backups import sources
from backups.docker_errors import DumpImpossible, EngineStopped, EngineUnknown, SwarmTask, VolumeAmbiguous
from backups.errors import SourceMissing
from backups.sources import own_names
from backups.sources.base import SourceFacts, SourcePlan, View
from backups.sources.docker import DOCKER_PLACE
from backups.sources.docker_choice import MISSING, NEVER, NOT_CHOSEN, SOCKET, SYSTEM
from backups.sources.docker_words import NO_FOLDER, UNCLEAR, WIDE
from phpborg.errors import InvalidInput
from servers.capabilities.docker_places import Place, place_of
from servers.capabilities.report import parse
from tests.support.docker_reports import ANONYMOUS, ROOT, bind, container, docker_report, facts, project, volume
from tests.support.reports import probe, report

DOCKER = sources.get("docker")
HOSTILE = "a b'\"; $(touch /tmp/x) \n`id`"


def plan(data: dict[str, Any] | None = None, keep_out: tuple[bytes, ...] = (), **more: Any) -> SourcePlan:
    with translation.override("en"):
        return DOCKER.plan(DOCKER.parse(data or {}), SourceFacts(keep_out=keep_out, report=docker_report(**more)))


def paths(made: SourcePlan) -> list[str]:
    return [path.decode() for path in made.paths]


def helper(made: SourcePlan) -> dict[str, Any]:
    assert made.freeze is not None
    return dict(made.freeze.arguments["plan"])


def left(made: SourcePlan) -> dict[str, str]:
    return {row["name"]: row["reason"] for row in made.left_out}


# --- the configuration -----------------------------------------------------------------------------


def test_the_configuration_is_checked_and_comes_back() -> None:
    assert DOCKER.parse({}).takes_all
    whole = {
        "projects": ["shop"],
        "volumes": ["data"],
        "containers": [],
        "binds": ["/srv/shared"],
        "exclude": {"projects": [], "volumes": ["x"], "binds": ["/srv/y"]},
        "images": "saved",
        "config_files": False,
        "quiesce": {"default": "pause", "containers": {"shop/db": "dump", HOSTILE: "stop"}},
    }
    assert DOCKER.parse(whole).as_json() == whole
    assert DOCKER.parse(DOCKER.parse({}).as_json()) == DOCKER.parse({})
    assert DOCKER.summary(DOCKER.parse({})) != DOCKER.summary(DOCKER.parse(whole))
    assert (DOCKER.asks(DOCKER.parse({})), DOCKER.probes(DOCKER.parse({}))) == ((), ("docker",))


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"odd": 1}, "Source"),
        ({"projects": "shop"}, "Projects"),
        ({"projects": [""]}, "Projects"),
        ({"projects": [], "volumes": [], "containers": []}, "Projects"),
        ({"projects": [], "containers": []}, "Projects"),
        ({"volumes": [1]}, "Volumes"),
        ({"containers": ["a\0b"]}, "Containers"),
        ({"binds": ["/proc/x"]}, "Places outside"),
        ({"binds": ["relative"]}, "Path"),
        ({"exclude": {"odd": []}}, "What is left out"),
        ({"images": "all"}, "Images"),
        ({"config_files": "yes"}, "Configuration files"),
        ({"quiesce": {"default": "dump"}}, "Keeping containers still"),
        ({"quiesce": {"containers": {"a": "kill"}}}, "Keeping containers still"),
    ],
)
def test_a_wrong_setting_names_its_field(data: dict[str, Any], field: str) -> None:
    with translation.override("en"), pytest.raises(InvalidInput) as caught:
        DOCKER.parse(data)
    assert caught.value.facts["field"] == field


# --- what is read ----------------------------------------------------------------------------------


def test_all_of_an_engine_is_read_once_each_under_its_own_name() -> None:
    made = plan()
    assert paths(made) == [
        DOCKER_PLACE,
        f"{ROOT}/volumes/shop_data/_data",
        f"{ROOT}/volumes/{ANONYMOUS}/_data",
        f"{ROOT}/volumes/wiki_data/_data",
        f"{ROOT}/volumes/orphan/_data",
        "/srv/shop",
        # Case 121: what lies beside the directory.
        "/srv/override/prod.yml",
        "/srv/secrets/app.env",
        "/srv/images/db",
        "/srv/wiki",
        "/srv/shared",
        "/etc/app.conf",
        "/srv/proxy",
        "/etc/docker/daemon.json",
    ]
    assert made.freeze is not None
    assert (made.freeze.kind, made.freeze.views) == ("docker", (View("/", DOCKER_PLACE),))
    assert made.freeze.arguments["socket"] == "/run/docker.sock"
    asked = helper(made)
    assert asked["containers"] == ["shop_db_1", "shop_web_1", "wiki_web_1", "proxy", "task.1"]
    assert asked["volumes"] == ["shop_data", ANONYMOUS, "wiki_data", "orphan"]
    assert asked["binds"] == ["/srv/shop/data", "/srv/shared", "/etc/app.conf"]
    assert (asked["images"], asked["quiesce"], asked["dumps"]) == ([], [], [])
    assert asked["config_files"] == ["/etc/docker/daemon.json"]
    assert asked["paths"] == paths(made)[1:]


def test_the_machines_own_places_are_never_read_and_the_reason_is_told() -> None:
    made = plan()
    reasons = left(made)
    assert reasons == {
        "/etc/localtime": SYSTEM,
        "/run/docker.sock": SOCKET,
        "/": NEVER,
        f"{ROOT}/containers": NEVER,
        "/srv/gone": MISSING,
    }
    # A place that is gone is worth a note; a socket or the clock's zone is not, night after night.
    assert [(row.kind, row.path) for row in made.findings] == [("docker_left_out", "/srv/gone")]
    assert "/etc/localtime" in paths(plan({"binds": ["/etc/localtime"]}))
    # Nor when it is chosen.
    forced = plan({"binds": [f"{ROOT}/containers"]})
    assert f"{ROOT}/containers" not in paths(forced)
    assert left(forced)[f"{ROOT}/containers"] == NEVER


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/", Place.NEVER),
        ("/proc/1", Place.NEVER),
        ("/var/run/docker.sock", Place.NEVER),
        ("/data/docker/overlay2", Place.NEVER),
        ("/data", Place.NEVER),  # the engine's own lies below it
        ("/var/lib/phpborg/x", Place.NEVER),
        ("/var/lib", Place.NEVER),
        ("/usr/share/zoneinfo", Place.SYSTEM),
        ("/etc", Place.SYSTEM),
        ("/home/", Place.SYSTEM),
        ("/home/me/app", Place.OWN),
        ("/etc/app.conf", Place.OWN),
        ("/var/lib/app", Place.OWN),
    ],
)
def test_whose_a_place_is(path: str, place: Place) -> None:
    assert place_of(path, "/data/docker") is place


def test_a_part_of_an_engine_is_its_projects_with_the_volumes_that_they_use() -> None:
    made = plan({"projects": ["shop"], "containers": []})
    assert helper(made)["containers"] == ["shop_db_1", "shop_web_1"]
    assert helper(made)["volumes"] == ["shop_data", ANONYMOUS]
    assert "/srv/wiki" not in paths(made)
    assert left(made)["wiki"] == left(made)["orphan"] == left(made)["proxy"] == NOT_CHOSEN
    assert made.findings == ()


def test_all_but_one_project_is_all_with_the_orphans_and_without_its_volumes() -> None:
    made = plan({"exclude": {"projects": ["wiki"]}})
    assert helper(made)["volumes"] == ["shop_data", ANONYMOUS, "orphan"]
    assert left(made)["wiki_data"] == NOT_CHOSEN


def test_volumes_are_chosen_or_left_out_by_name() -> None:
    made = plan({"volumes": ["orphan"], "projects": [], "containers": []})
    assert paths(made) == [DOCKER_PLACE, f"{ROOT}/volumes/orphan/_data", "/etc/docker/daemon.json"]
    assert helper(plan({"exclude": {"volumes": ["orphan", "shop_data"]}}))["volumes"] == [ANONYMOUS, "wiki_data"]


def test_a_volume_without_its_projects_prefix_is_found_by_labels() -> None:
    """Case 116."""
    assert helper(plan({"projects": ["shop"], "volumes": ["data"]}))["volumes"] == ["shop_data"]
    assert helper(plan({"projects": ["wiki"], "volumes": ["data"]}))["volumes"] == ["wiki_data"]
    with pytest.raises(VolumeAmbiguous):
        plan({"volumes": ["data"]})
    # One that is called so counts before any label.
    more = [volume("data"), *facts()["volumes"]]
    assert helper(plan({"volumes": ["data"]}, volumes=more))["volumes"] == ["data"]


@pytest.mark.parametrize(
    "data", [{"projects": ["gone"]}, {"volumes": ["gone"]}, {"containers": ["shop_db_1"]}, {"binds": ["/srv/none"]}]
)
def test_what_was_chosen_by_name_and_is_gone_fails(data: dict[str, Any]) -> None:
    with pytest.raises(SourceMissing):
        plan(data)


def test_places_outside_are_chosen_or_left_out() -> None:
    only = plan({"binds": ["/srv/shared"]})
    assert "/etc/app.conf" not in paths(only)
    assert left(only)["/etc/app.conf"] == NOT_CHOSEN
    without = plan({"exclude": {"binds": ["/srv/shared", "/srv/shop/data"]}})
    assert "/srv/shared" not in paths(without)
    # What lies in a directory that is read is left out of it.
    assert without.excludes == ("pp:/srv/shop/data", *own_names.of_restores())


def test_phpborgs_own_storage_is_kept_out_of_a_projects_directory() -> None:
    assert plan(keep_out=(b"/srv/shop/pool", b"/var/lib/phpborg")).excludes == (
        "pp:/srv/shop/pool",
        *own_names.of_restores(),
    )


def test_a_link_is_read_with_what_it_leads_to() -> None:
    shop = project("shop", "/srv/shop", target="/data/shop")
    made = plan(projects=[shop], binds=[bind("/srv/l", "proxy", target="/data/l"), bind("/srv/r", target="/proc")])
    assert {"/srv/shop", "/data/shop", "/srv/l", "/data/l"} <= set(paths(made))


def test_a_project_in_a_place_that_holds_much_more_is_read_by_its_files() -> None:
    made = plan(projects=[project("shop", "/root"), project("wiki", "/gone", kind="missing")], binds=[])
    assert {"/root/docker-compose.yml", "/root/.env"} <= set(paths(made))
    assert not {"/root", "/gone"} & set(paths(made))
    assert [(row.kind, row.message) for row in made.findings] == [
        ("docker_project_directory", WIDE),
        ("docker_project_directory", NO_FOLDER),
    ]
    inside = project("shop", f"{ROOT}/volumes/portainer/_data/compose/1")
    assert f"{ROOT}/volumes/portainer/_data/compose/1" in paths(plan(projects=[inside], volumes=[]))


def test_files_that_are_gone_are_notes() -> None:
    shop = project("shop", "/srv/shop", missing_files=["/srv/shop/.env"], unclear=["${X}.env"])
    made = plan(projects=[shop, project("wiki", "/w", problem="x is not understood")], binds=[])
    kinds = [(row.kind, row.path) for row in made.findings]
    assert kinds == [("docker_left_out", "/srv/shop/.env"), ("docker_unclear", "wiki")]
    assert left(made)["${X}.env"] == UNCLEAR


def test_volumes_that_are_not_mounted_are_held_and_those_without_a_directory_are_told() -> None:
    made = plan(
        volumes=[
            volume("nfs", "proxy", readable=False, empty=None, size_bytes=None),
            volume("plugin", driver="rexray", mountpoint=None, readable=False),
            volume("hollow", "proxy", empty=True),
        ],
        binds=[],
    )
    assert f"{ROOT}/volumes/nfs/_data" in paths(made)
    assert helper(made)["volumes"] == ["nfs", "plugin", "hollow"]
    assert any("nfs" in str(sentence) and "holds" in str(sentence) for sentence in made.sentences)
    assert [(row.kind, row.path) for row in made.findings] == [
        ("docker_volume_unread", "plugin"),
        ("docker_volume_empty", "hollow"),
    ]


def test_images_are_kept_whole_only_when_that_was_chosen() -> None:
    assert helper(plan({"images": "saved"}))["images"] == ["sha256:db", "sha256:web", "sha256:proxy"]
    assert helper(plan({"images": "saved", "projects": [], "volumes": []}))["images"] == ["sha256:proxy"]


# --- kept still ------------------------------------------------------------------------------------


def test_containers_are_stopped_paused_or_dumped_by_choice() -> None:
    made = plan({"quiesce": {"default": "pause", "containers": {"shop/db": "dump", "proxy": "stop", "task.1": "none"}}})
    asked = helper(made)
    assert asked["dumps"] == [{"container": "shop_db_1", "engine": "postgresql"}]
    # What does not run is left as it is.
    assert asked["quiesce"] == [
        {"container": "shop_web_1", "project": "shop", "service": "web", "number": 1, "how": "pause"},
        {"container": "proxy", "project": None, "service": None, "number": None, "how": "stop"},
    ]
    assert made.freeze is not None
    assert "stops proxy" in str(made.freeze.sentence)
    assert "pauses shop_web_1" in str(made.freeze.sentence)


def test_a_task_of_a_swarm_is_not_stopped_by_itself() -> None:
    """Case 114."""
    made = plan({"quiesce": {"default": "stop"}})
    assert "task.1" not in [row["container"] for row in helper(made)["quiesce"]]
    assert ("docker_swarm", "task.1") in [(row.kind, row.path) for row in made.findings]
    with pytest.raises(SwarmTask):
        plan({"quiesce": {"containers": {"task.1": "stop"}}})


def test_phpborgs_own_container_is_never_stopped() -> None:
    own = [container("own", ours=True), container("other")]
    made = plan({"quiesce": {"default": "stop", "containers": {"own": "stop"}}}, containers=own)
    assert [row["container"] for row in helper(made)["quiesce"]] == ["other"]
    assert any("own container goes on working" in str(sentence) for sentence in made.sentences)


def test_who_writes_to_a_volume_from_outside_of_the_job_is_told() -> None:
    def uses(name: str, writable: bool = True) -> dict[str, Any]:
        return {"type": "volume", "name": name, "source": "/x", "destination": "/d", "writable": writable}

    there: dict[str, Any] = {
        "containers": [
            container("shop_db_1", "shop", "db", uses("shop_data")),
            container("adminer", "tools", "adminer", uses("shop_data"), uses("other")),
            container("reader", "tools", "reader", uses("shop_data", writable=False)),
            container("ended", "tools", "ended", uses("shop_data"), state="exited"),
        ],
        "volumes": [volume("shop_data", "shop_db_1", "adminer", "reader", "ended", project="shop", logical="data")],
        "binds": [],
    }
    data = {"projects": ["shop"], "containers": [], "quiesce": {"default": "stop"}}
    made = plan(data, **there)
    told = [(row.kind, row.message, row.path) for row in made.findings if row.kind == "docker_shared"]
    assert told == [("docker_shared", "adminer", "shop_data")]
    assert any("never kept still: shop_data (adminer)" in str(sentence) for sentence in made.sentences)
    # Nobody asked that anything keeps still: it is a sentence of the plan, and no worry of each run.
    calm = plan({**data, "quiesce": {"default": "none"}}, **there)
    assert "docker_shared" not in [row.kind for row in calm.findings]
    assert any("never kept still: shop_data (adminer)" in str(sentence) for sentence in calm.sentences)
    # Of volumes alone nobody is kept still, whatever the default is.
    alone = plan({"projects": [], "containers": [], "volumes": ["data"], "quiesce": {"default": "stop"}}, **there)
    reported = [(row.message, row.path) for row in alone.findings if row.kind == "docker_shared"]
    assert reported == [("shop_db_1, adminer", "shop_data")]
    # Who is chosen as well is kept still.
    both = plan(projects=[project(name, f"/srv/{name}") for name in ("shop", "tools")], **there)
    assert not any("never kept still" in str(sentence) for sentence in both.sentences)


def test_one_that_is_just_started_anew_is_asked_to_keep_still_too() -> None:
    """Whether it runs by then only the server sees, which tells it."""
    both = [container("loop", state="restarting"), container("ended", state="exited")]
    made = plan({"quiesce": {"default": "stop"}}, containers=both)
    assert [row["container"] for row in helper(made)["quiesce"]] == ["loop"]
    both = [container("shop_db_1", "shop", "db", engine="mysql", state="restarting")]
    made = plan({"containers": [], "quiesce": {"containers": {"shop/db": "dump"}}}, containers=both, binds=[])
    assert [row.kind for row in made.findings] == ["docker_not_running"]


def test_a_dump_needs_a_database_that_is_known_and_runs() -> None:
    with pytest.raises(DumpImpossible):
        plan({"quiesce": {"containers": {"shop/web": "dump"}}})
    asleep = [container("shop_db_1", "shop", "db", engine="postgresql", state="exited")]
    made = plan({"containers": [], "quiesce": {"containers": {"shop/db": "dump"}}}, containers=asleep, binds=[])
    assert helper(made)["dumps"] == []
    assert [row.kind for row in made.findings] == ["docker_not_running"]


# --- no plan ---------------------------------------------------------------------------------------


def test_without_a_report_the_plan_says_what_will_be_looked_at() -> None:
    made = DOCKER.plan(DOCKER.parse({}), SourceFacts())
    assert (made.paths, made.freeze) == ((), None)
    assert made.sentences


def test_an_engine_that_does_not_answer_is_no_empty_one() -> None:
    with pytest.raises(EngineStopped):
        plan(running=False, problem="connection refused")
    for said in (report(), report(docker=probe(None, state="failed", problem="it broke"))):
        with pytest.raises(EngineUnknown):
            DOCKER.plan(DOCKER.parse({}), SourceFacts(report=parse(said)))


def test_an_empty_engine_is_written_down_all_the_same() -> None:
    made = plan(projects=[], containers=[], volumes=[], binds=[], images=[])
    assert paths(made) == [DOCKER_PLACE, "/etc/docker/daemon.json"]


def test_names_of_a_server_do_no_harm() -> None:
    directory = f"/srv/{HOSTILE}"
    made = plan(
        projects=[project(HOSTILE, directory), project("odd", "relative/../../etc")],
        containers=[container(HOSTILE, HOSTILE, HOSTILE)],
        volumes=[volume("v", HOSTILE)],
        binds=[bind("/srv/../../etc/shadow", HOSTILE), bind(f"{directory} beside", HOSTILE)],
    )
    assert {directory, f"{directory} beside"} <= set(paths(made))
    assert helper(made)["containers"] == [HOSTILE]
    assert not [path for path in paths(made) if ".." in path or not path.startswith("/")]
    assert {"relative/../../etc", "/srv/../../etc/shadow"} <= set(left(made))
