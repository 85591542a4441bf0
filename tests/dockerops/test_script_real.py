"""Scripts of plans, run: on the engine of the archive and on another one, and one that fails in the middle."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockerops.analysis import analyse
from dockerops.choice import Choice
from dockerops.conflicts import find
from dockerops.options import Options
from tests.dockerops import rig
from tests.dockerops.rig import Rig
from tests.dockers.conftest import image_in
from tests.support.bridged import Bridged, engines

pytestmark = pytest.mark.real

_SLEEPS = ("phpborg-test/plain:1", "sh", "-c", "sleep 60")


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Bridged, ...]]:
    with engines("plan-a", "plan-b") as two:
        image_in(two[0])
        yield two


@pytest.fixture
def archived(pair: tuple[Bridged, ...], tmp_path: Path) -> Iterator[Rig]:
    made = Rig(pair[0], tmp_path / "place")
    made.directory.mkdir()
    made.make()
    made.back_up()
    yield made
    for engine in pair:
        rig.clean(engine)


def _trees(made: Rig, engine: Bridged) -> dict[str, object]:
    """All data: volumes by their names, and the directories."""
    volumes = {name: rig.tree(made.mountpoint(name, engine)) for name in made.volumes(engine)}
    return {**volumes, "app": rig.tree(made.app), "shared": rig.tree(made.shared)}


@pytest.mark.parametrize(
    ("where", "form"),
    [
        pytest.param(0, "simple", id="same engine, simple", marks=pytest.mark.long),
        pytest.param(1, "simple", id="other engine, simple"),
        pytest.param(0, "advanced", id="same engine, advanced"),
        pytest.param(1, "advanced", id="other engine, advanced", marks=pytest.mark.long),
    ],
)
def test_everything_that_was_destroyed_is_back(archived: Rig, pair: tuple[Bridged, ...], where: int, form: str):
    target = pair[where]
    before, data = rig.state(archived.engine), _trees(archived, archived.engine)
    archived.destroy()
    if where:  # another engine has no image: it comes out of the archive
        target.docker("image", "rm", "--force", "phpborg-test/plain:1", check=False)
    # The one that stands alone has a capability that nobody has by itself.
    plan = archived.plan(target, Choice(), Options(create_missing=True), ("host:probe-1",))
    assert ("load_image" in [step.op for step in plan.steps]) == bool(where)
    done = archived.run(plan, form)
    assert done.returncode == 0, done.stdout + done.stderr
    assert rig.state(target) == before
    assert _trees(archived, target) == data
    assert not list(archived.directory.glob(".phpborg-restore-*"))
    # Compose knows the project as its own.
    up = ("-p", "kiosk", "-f", "base.yml", "-f", "more.yml", "up", "-d", "--no-recreate")
    said = target.compose(*up, cwd=str(archived.app))
    assert "not created by" not in said.stderr
    assert rig.state(target) == before


def test_a_restore_that_fails_in_the_middle_is_undone(archived: Rig, tmp_path: Path):
    engine = archived.engine
    (archived.mountpoint("kiosk_data") / "rows").write_text("newer than the archive\n")
    before, data = rig.state(engine), _trees(archived, engine)
    there = archived.there(engine, Choice(), Options())
    consents = tuple(one.consent for one in find(archived.contents(), there, Choice(), Options()))
    plan = archived.plan(engine, Choice(), Options(), consents)
    broken = tmp_path / "bin"
    broken.mkdir()
    # The engine is gone for the request of the last container.
    text = f'#!/bin/sh\ncase "$*" in *create?name=probe-1*) exit 7 ;; esac\nexec {shutil.which("curl")} "$@"\n'
    (broken / "curl").write_text(text)
    (broken / "curl").chmod(0o755)
    done = archived.run(plan, "advanced", path=str(broken))
    assert done.returncode != 0
    assert "Everything is as it was." in done.stdout, done.stdout + done.stderr
    assert rig.state(engine) == before
    assert _trees(archived, engine) == data
    assert not [path for path in archived.directory.iterdir() if path.name.startswith(".phpborg")]


@pytest.mark.long
def test_what_is_replaced_is_kept_and_what_was_not_chosen_is_not_touched(archived: Rig):
    engine = archived.engine
    (archived.mountpoint("kiosk_data") / "rows").write_text("newer than the archive\n")
    before, data = rig.state(engine), _trees(archived, engine)
    choice = Choice("volumes", volumes=("kiosk_data",))
    consents = ("volume:kiosk_data", "stop:kiosk_db_1")
    plan = archived.plan(engine, choice, Options(), consents)
    done = archived.run(plan, "advanced", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    after = _trees(archived, engine)
    assert (archived.mountpoint("kiosk_data") / "rows").read_text() == "rows of kiosk_data\n"
    for one in set(data) - {"kiosk_data"}:
        assert after[one] == data[one]
    archived.healthy()
    assert rig.state(engine) == before
    kept = list(engine.data.glob(".phpborg-kept-*/**/rows"))
    assert [path.read_text() for path in kept] == ["newer than the archive\n"]


@pytest.mark.long
def test_another_project_beside_the_running_originals(archived: Rig):
    engine = archived.engine
    before, data = rig.state(engine), _trees(archived, engine)
    options = Options(
        placement="other_project", project_name="two", path=str(archived.directory / "two"), ports="shift", port_shift=7
    )
    choice = Choice("projects", projects=("kiosk",))
    plan = archived.plan(engine, choice, options, ("alias:proxy",))
    done = archived.run(plan, "simple")
    assert done.returncode == 0, done.stdout + done.stderr
    after = rig.state(engine)
    for kind, rows in before.items():
        assert {name: after[kind][name] for name in rows} == rows
    assert _trees(archived, engine) | data == _trees(archived, engine)
    new = {name for name in after["containers"] if name not in before["containers"]}
    assert new == {"two_db_1", "two_web_1"}
    web = after["containers"]["two_web_1"][1]
    labels = web["config"]["Labels"]
    assert labels["com.docker.compose.project"] == "two"
    assert labels["com.docker.compose.project.working_dir"] == f"{archived.directory}/two{archived.app}"
    assert web["host"]["PortBindings"]["80/tcp"][0]["HostPort"] == "18087"
    assert {"two_data", "two_files"} <= set(after["volumes"])


def test_a_wrong_passphrase_a_dry_run_and_what_was_changed_since_touch_nothing(archived: Rig):
    engine = archived.engine
    before, data = rig.state(engine), _trees(archived, engine)
    consents = ("volume:kiosk_data", "stop:kiosk_db_1")
    plan = archived.plan(engine, Choice("volumes", volumes=("kiosk_data",)), Options(), consents)
    for form in ("simple", "advanced"):
        done = archived.run(plan, form, secret="wrong")
        assert done.returncode != 0
        assert "cannot be read" in done.stderr
    # A dry run says every step in its order, and asks nobody.
    everything = rig.tree(archived.directory)
    done = archived.run(plan, "advanced", "--dry-run", secret="wrong")
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^(\d+)\. ", done.stdout, re.M) == [str(step.number) for step in plan.steps]
    after = rig.tree(archived.directory)
    for found in (everything, after):  # but for the file of the script itself, which was written anew
        found.pop(b"advanced.sh")
        found.pop(b".")
    assert after == everything
    # Somebody uses the volume since; both forms see it before they ask for the passphrase.
    engine.docker("run", "--detach", "--name", "late", "--volume", "kiosk_data:/x", *_SLEEPS)
    for form in ("simple", "advanced"):
        done = archived.run(plan, form)
        assert done.returncode != 0
        assert "late uses " in done.stderr
        assert "make a new plan" in done.stderr
    engine.docker("rm", "--force", "late")
    text = (archived.directory / "simple.sh").read_text()
    (archived.directory / "simple.sh").write_text(text.replace('"container":"kiosk_db_1"', '"container":"probe-1"'))
    done = subprocess.run(["bash", str(archived.directory / "simple.sh")], capture_output=True, text=True, check=False)
    assert "This script was changed" in done.stderr
    assert done.returncode != 0
    assert (rig.state(engine), _trees(archived, engine)) == (before, data)


@pytest.mark.long
def test_an_archive_without_metadata_is_put_back_by_compose(pair: tuple[Bridged, ...], tmp_path: Path):
    engine = pair[0]
    made = Rig(engine, tmp_path / "place")
    app = made.directory / "plain"
    app.mkdir(parents=True)
    text = rig.BASE.split("  web:")[0] + "volumes: {data: {}}\n"
    (app / "docker-compose.yml").write_text(text)
    try:
        engine.compose("up", "-d", cwd=str(app))
        place = made.mountpoint("plain_data")
        (place / "rows").write_text("rows\n")
        before, data = rig.state(engine), (rig.tree(place), rig.tree(app))
        made.borg("init", "--encryption", "repokey", "::")
        made.borg("create", f"::{made.archive}", str(app), str(place))
        contents = analyse(listing=made.listing())
        rig.clean(engine)
        shutil.rmtree(app)
        plan = made.plan(engine, Choice("projects"), Options(), contents=contents)
        assert [step.op for step in plan.steps][-1] == "compose_up"
        done = made.run(plan, "advanced")
        assert done.returncode == 0, done.stdout + done.stderr
        assert (rig.tree(place), rig.tree(app)) == data
        after = rig.state(engine)
        # Compose's own version is in no file: all other labels are there.
        labels = before["volumes"]["plain_data"][2]
        labels.pop("com.docker.compose.version", None)
        assert after["volumes"]["plain_data"][2] == labels
        assert list(after["containers"]) == list(before["containers"])
        assert after["containers"]["plain_db_1"][0] == "running"
    finally:
        rig.clean(engine)
