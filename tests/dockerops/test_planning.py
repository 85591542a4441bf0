"""Plans: the steps of each kind of restore, in their order, and nothing beyond what was chosen."""

from __future__ import annotations

from typing import Any

from dockerops import conflicts, ordering
from dockerops.choice import Choice
from dockerops.options import Options
from dockerops.plan import DockerPlan
from dockerops.planning import MANIFEST_PATH, plan_docker
from dockerops.scripts.filling import fill
from dockerops.services.planning import _difference
from servers.remote.dockers import bodies
from tests.dockerops import sample
from tests.dockerops.test_conflicts import ABOUT, DATA, PROBE, PROJECT

VOLUMES = "/var/lib/docker/volumes"
Raw = dict[str, Any]


def plan(
    choice: Choice, options: Options | None = None, there: Raw | None = None, raw: Raw | None = None
) -> DockerPlan:
    """With every consent that is asked for."""
    contents, target, chosen = sample.contents(raw), sample.inventory(there), options or Options()
    consents: set[str] = set()
    for _ in range(2):  # a consent may lead to another plan
        consents |= {one.consent for one in conflicts.find(contents, target, choice, chosen, consents) if one.consent}
    return plan_docker(contents, target, choice, chosen, ABOUT, consents)


def steps(made: DockerPlan, *ops: str) -> list[tuple[str, str]]:
    """(kind, name) of these kinds."""
    named = ("container", "name", "target", "directory", "reference", "archive", "project")
    return [
        (step.op, next(str(step.params[key]) for key in named if key in step.params))
        for step in made.steps
        if not ops or step.op in ops
    ]


def test_a_container_that_was_made_anew_makes_another_plan():
    """Whoever agreed that it is replaced meant the one that was there."""
    there = sample.there()
    there["containers"][0]["id"] = "9" * 64
    shown, now = plan(PROJECT), plan(PROJECT, there=there)
    assert shown.hash != now.hash
    renamed = next(step for step in now.steps if step.op == "rename_container")
    assert _difference(shown, now) == f"± {renamed.sentence}"


def test_a_whole_project_in_place_step_by_step():
    made = plan(PROJECT)
    kept = "phpborg-01234567"
    assert steps(made) == [
        ("need_image", "phpborg-test/postgres:15"),
        ("need_image", "phpborg-test/web:1"),
        ("extract", "/etc"),
        ("extract", "/opt"),
        ("extract", "/var/lib/docker"),
        ("stop_container", "kiosk_web_1"),
        ("stop_container", "kiosk_db_1"),
        ("rename_container", "kiosk_db_1"),
        ("disconnect", f"kiosk_db_1.{kept}"),
        ("rename_container", "kiosk_web_1"),
        ("disconnect", f"kiosk_web_1.{kept}"),
        ("disconnect", f"kiosk_web_1.{kept}"),
        ("exchange", "/etc/app.conf"),
        ("exchange", "/opt/app"),
        ("exchange", "/opt/shared"),
        ("exchange", f"{VOLUMES}/{sample.ANONYMOUS}/_data"),
        ("exchange", f"{VOLUMES}/kiosk_data/_data"),
        ("create_container", "kiosk_db_1"),
        ("create_container", "kiosk_web_1"),
        ("start", "kiosk_db_1"),
        ("healthy", "kiosk_db_1"),
        ("start", "kiosk_web_1"),
        ("healthy", "kiosk_web_1"),
    ]
    assert made.manifest == MANIFEST_PATH
    assert [one.name for one in made.protected if one.what == "container"] == ["kiosk_db_1", "kiosk_web_1"]
    assert all(step.title and step.sentence for step in made.steps)
    assert [step.number for step in made.steps] == list(range(1, len(made.steps) + 1))


def test_another_body_is_another_plan():
    """What a container may do is in the manifest only: the hash that somebody agreed to holds for one manifest."""
    raw = sample.manifest()
    raw["containers"][1]["create"]["HostConfig"]["Ulimits"] = [{"Name": "core", "Soft": 1, "Hard": 1}]
    first, other = plan(PROJECT), plan(PROJECT, raw=raw)
    assert [step.params for step in first.steps] == [step.params for step in other.steps]
    assert first.hash != other.hash
    assert plan(PROJECT, raw=sample.manifest()).hash == first.hash


def test_an_empty_engine_gets_networks_volumes_and_images():
    there = {**sample.empty(), "images": []}
    raw = sample.manifest()
    for one in raw["images"][1:]:
        one["digests"] = ["name@sha256:" + "9" * 64]
    made = plan(Choice(), Options(images="pull", create_missing=True), there, raw)
    assert steps(made, "pull_image", "create_network", "create_volume") == [
        ("pull_image", "phpborg-test/postgres:15"),
        ("pull_image", "name@sha256:" + "9" * 64),
        ("pull_image", "name@sha256:" + "9" * 64),
        ("create_network", "kiosk_default"),
        ("create_network", "proxy"),
        *(("create_volume", name) for name in (sample.ANONYMOUS, "corp_shared", "kiosk_data", "kiosk_files")),
    ]
    assert not [step for step in made.steps if step.op in ("stop_container", "rename_container")]
    assert [step.params["state"] for step in made.steps if step.op == "start"] == ["running", "running", "paused"]


def test_an_image_comes_out_of_the_archive():
    raw, there = sample.manifest(), {**sample.empty(), "images": []}
    raw["images"][2]["stream"] = "images/2.tar"
    made = plan(PROBE, Options(create_missing=True), there, raw)
    (load,) = [step for step in made.steps if step.op == "load_image"]
    assert load.params["stream"] == "/var/lib/phpborg/docker/images/2.tar"


def test_an_image_that_is_there_without_its_name_gets_it():
    there = {**sample.empty(), "images": [{"id": sample.MANIFEST["images"][2]["id"], "tags": []}]}
    made = plan(PROBE, Options(create_missing=True), there)
    (named,) = [step for step in made.steps if step.op == "pull_image"]
    assert (named.why, named.params["tag"], named.params["id"]) == (
        "named",
        "phpborg-test/probe:1",
        there["images"][0]["id"],
    )


def test_labels_driver_and_options_of_networks_and_volumes_are_the_archives():
    """Case 117: Compose must take them for its own."""
    made = plan(Choice(), Options(create_missing=True), sample.empty())
    filled = _filled(made)
    assert filled["kiosk_data"]["labels"] == {
        "com.docker.compose.project": "kiosk",
        "com.docker.compose.volume": "data",
    }
    assert filled["kiosk_files"]["options"]["o"] == "size=16m,password=canary-cifs-password"
    assert filled["proxy"]["body"]["IPAM"]["Config"] == [{"Subnet": "172.30.0.0/24", "Gateway": "172.30.0.1"}]
    assert filled["kiosk_default"]["body"]["Labels"]["com.docker.compose.network"] == "default"


def _filled(made: DockerPlan) -> dict[str, Any]:
    renames = dict(made.renames)
    return {
        str(step.params["name"]): fill(step.op, step.params, sample.MANIFEST, renames, bodies.rewrite)
        for step in made.steps
        if step.op.startswith("create_")
    }


def test_another_project_name_is_another_name_everywhere():
    options = Options(placement="other_project", project_name="two", path="/srv/two", ports="shift", port_shift=1)
    made = plan(PROJECT, options)
    filled = _filled(made)
    assert {"two_db_1", "two_web_1", "two_data", "two_files", "two_default"} <= set(filled)
    web = filled["two_web_1"]["body"]
    labels = web["Labels"]
    assert labels["com.docker.compose.project"] == "two"
    assert labels["com.docker.compose.project.working_dir"] == "/srv/two/opt/app"
    assert labels["com.docker.compose.project.config_files"] == ",".join(f"/srv/two{path}" for path in sample.FILES)
    anonymous = made.renames["volumes"][sample.ANONYMOUS]
    assert len(anonymous) == 64
    assert web["HostConfig"]["Binds"] == [
        "/srv/two/opt/app/html:/srv/html:ro",
        "/srv/two/opt/shared:/srv/shared:rw",
        "/srv/two/etc/app.conf:/etc/app.conf:ro",
        "two_files:/srv/files:rw",
        f"{anonymous}:/srv/cache:rw",
    ]
    assert web["HostConfig"]["PortBindings"] == {"80/tcp": [{"HostIp": "", "HostPort": "8081"}]}
    assert web["HostConfig"]["NetworkMode"] == "two_default"
    # The original has the static address; the network is the engine's to number.
    assert filled["two_web_1"]["networks"]["proxy"].get("IPAMConfig") in (None, {})
    assert "Config" not in filled["two_default"]["body"]["IPAM"]
    assert not {step.op for step in made.steps} & {"stop_container", "rename_container", "disconnect"}


def test_another_path_moves_files_and_what_is_bound():
    made = plan(
        PROJECT,
        Options(placement="other_path", path="/restored"),
        sample.empty() | {"networks": sample.there()["networks"]},
    )
    assert [name for op, name in steps(made, "exchange") if name.startswith("/restored")] == [
        "/restored/etc/app.conf",
        "/restored/opt/app",
        "/restored/opt/shared",
    ]
    assert _filled(made)["kiosk_web_1"]["body"]["HostConfig"]["Binds"][0] == "/restored/opt/app/html:/srv/html:ro"


def test_volumes_at_another_path_are_files_and_the_engine_is_not_touched():
    made = plan(DATA, Options(placement="other_path", path="/look"))
    assert steps(made) == [
        ("extract", f"/look{VOLUMES}/kiosk_data"),
        ("exchange", f"/look{VOLUMES}/kiosk_data/_data"),
    ]


def test_only_what_was_picked_is_extracted():
    """Case 126."""
    made = plan(DATA)
    assert [step.params["sources"] for step in made.steps if step.op == "extract"] == [[f"{VOLUMES}/kiosk_data/_data"]]
    assert steps(made, "stop_container", "start") == [("stop_container", "kiosk_db_1"), ("start", "kiosk_db_1")]
    assert not {step.op for step in made.steps} & {"create_container", "rename_container", "create_volume"}
    files = plan(Choice("custom", files={"kiosk_data": ("base/1", "PG_VERSION")}))
    (extract,) = [step for step in files.steps if step.op == "extract"]
    assert extract.params["sources"] == [f"{VOLUMES}/kiosk_data/_data/PG_VERSION", f"{VOLUMES}/kiosk_data/_data/base/1"]
    (exchange,) = [step for step in files.steps if step.op == "exchange"]
    assert (exchange.params["whole"], exchange.params["items"]) == (False, ["PG_VERSION", "base/1"])
    assert steps(plan(Choice("configs"))) == [("extract", "/etc/docker"), ("exchange", "/etc/docker/daemon.json")]


def test_a_project_of_a_custom_choice_comes_without_volumes_and_binds_outside():
    made = plan(Choice("custom", projects=("kiosk",)), Options(create_missing=True))
    assert [name for _, name in steps(made, "exchange")] == ["/opt/app"]
    made = plan(Choice("custom", projects=("kiosk",), binds=("/opt/shared",)), Options(create_missing=True))
    assert [name for _, name in steps(made, "exchange")] == ["/opt/app", "/opt/shared"]


def test_a_directory_that_is_a_mount_point_is_filled_not_renamed():
    there = sample.there()
    there["paths"]["/opt/app"] = {**there["paths"]["/opt/app"], "mountpoint": "/opt/app", "device": "8:2"}
    made = plan(PROJECT, there=there)
    (exchange,) = [step for step in made.steps if step.op == "exchange" and step.params["target"] == "/opt/app"]
    assert (exchange.params["stage"], exchange.params["whole"], exchange.params["items"]) == ("/opt/app", False, None)


def test_what_is_extracted_lies_where_it_may_and_on_the_same_filesystem():
    root = {"exists": True, "kind": "directory", "mountpoint": "/", "free_bytes": 10**10, "device": "8:1"}
    volume = f"{VOLUMES}/kiosk_data/_data"
    for odd in ({"allowed": False}, {"device": "8:9"}):
        there = sample.there()
        there["paths"] |= {"/var/lib/docker": root | odd, volume: {**root, "mountpoint": VOLUMES}}
        (extract,) = [step for step in plan(DATA, there=there).steps if step.op == "extract"]
        assert extract.params["directory"] == f"{VOLUMES}/kiosk_data"


def test_an_engine_with_another_data_root_gets_the_volumes_there():
    there = sample.empty() | {"engine": {**sample.there()["engine"], "data_root": "/data/docker/"}}
    made = plan(DATA, there=there)
    (exchange,) = [step for step in made.steps if step.op == "exchange"]
    assert exchange.params["target"] == "/data/docker/volumes/kiosk_data/_data"
    assert exchange.params["source"] == f"{VOLUMES}/kiosk_data/_data"


def test_a_volume_that_is_a_directory_elsewhere_is_put_there():
    raw = sample.manifest()
    raw["volumes"][1]["options"] = {"type": "none", "o": "bind", "device": "/data/files"}
    made = plan(PROJECT, raw=raw, there=sample.empty() | {"networks": sample.there()["networks"]})
    targets = {step.params["target"]: step.params["source"] for step in made.steps if step.op == "exchange"}
    assert targets["/data/files"] == f"{VOLUMES}/kiosk_files/_data"


def test_what_stays_and_uses_a_volume_comes_back_as_it_was():
    there = sample.there()
    there["containers"][0]["state"] = "paused"
    made = plan(DATA, there=there)
    assert [(step.op, step.params.get("state")) for step in made.steps if step.op in ("start", "healthy")] == [
        ("start", "paused")
    ]


def test_states_of_the_archive_come_back():
    raw = sample.manifest()
    raw["containers"][0]["state"] = "exited"
    raw["containers"][1]["state"] = "restarting"
    made = plan(PROJECT, raw=raw)
    assert steps(made, "start") == [("start", "kiosk_web_1")]
    assert [note.facts["name"] for note in made.notes if note.code == "not_started"] == ["kiosk_db_1"]
    assert not steps(plan(PROJECT, Options(start="none")), "start", "healthy")


def test_protection_says_what_becomes_of_what_is_replaced():
    assert {one.how for one in plan(PROJECT).protected} == {"aside"}
    assert {one.how for one in plan(PROJECT, Options(protect="none")).protected} == {"dropped"}
    made = plan(PROJECT, Options(protect="archive"))
    (archived,) = [step for step in made.steps if step.op == "archive_former"]
    assert f"{VOLUMES}/kiosk_data/_data" in archived.params["paths"]
    order = [step.op for step in made.steps]
    assert order.index("archive_former") > max(place for place, op in enumerate(order) if op == "stop_container")
    assert order.index("archive_former") < order.index("rename_container")
    # An archive holds no container: everything is kept aside, too.
    assert {one.how for one in made.protected} == {"aside"}
    assert {"kept_hours", "archived"} <= {note.code for note in made.notes}


def test_an_archive_of_what_is_replaced_is_spoken_of_only_where_one_is_made():
    made = plan(Choice("custom", containers=("probe-1",)), Options(protect="archive"))
    assert not steps(made, "archive_former")
    assert [one.what for one in made.protected] == ["container"]
    codes = {note.code for note in made.notes}
    assert "not_archived" in codes
    assert "archived" not in codes


def test_what_others_depend_on_is_started_first_and_stopped_last():
    raw = sample.manifest()
    db, web, probe = raw["containers"]
    probe["create"]["HostConfig"].update(NetworkMode="container:kiosk_web_1", VolumesFrom=["kiosk_db_1:ro"])
    probe["networks"] = {}
    db["depends_on"], web["depends_on"] = [], []  # the labels of Compose alone
    found = sample.contents(raw)
    assert ordering.in_order(ordering.needs(found.containers)) == ["kiosk_db_1", "kiosk_web_1", "probe-1"]
    web["create"]["Labels"]["com.docker.compose.depends_on"] = ""
    web["create"]["HostConfig"]["Links"] = ["kiosk_db_1:other"]
    assert ordering.needs(sample.contents(raw).containers)["kiosk_web_1"] == {"kiosk_db_1"}
