"""What borg puts into an archive of an engine: manifest, volumes of every kind with owners and attributes, files."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from servers import errors
from servers.remote.dockers import bodies
from servers.remote.dockers.engine import Engine as Client
from tests.dockers import backing
from tests.dockers.backing import PLACE, PLAIN, Backup, inspected, quiet, run, status, volumes
from tests.dockers.fixtures_backup import backup, backup_engine, engine, here, place

__all__ = ["backup", "backup_engine", "engine", "here", "place"]
pytestmark = pytest.mark.real
LOCAL = ("volume", "create", "--driver", "local")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    path = tmp_path / "repository"
    env = {"PATH": "/usr/bin:/bin", "BORG_PASSPHRASE": backing.PASSPHRASE, "BORG_BASE_DIR": str(tmp_path / "base")}
    subprocess.run(["borg", "init", "-e", "repokey-blake2", str(path)], check=True, env=env, capture_output=True)
    return path


def fill(directory: Path) -> None:
    """Owners, modes, a link, a name that is no text, an extended attribute, an access list's kind of thing."""
    (directory / "below").mkdir()
    (directory / "below/file").write_bytes(os.urandom(5000))
    os.chown(directory / "below/file", 4242, 4343)
    (directory / "below/file").chmod(0o640)
    (directory / "below").chmod(0o2750)
    Path(os.fsdecode(os.fsencode(directory) + b"/n\xffme\n")).write_text("odd")
    (directory / "link").symlink_to("../outside")
    os.link(directory / "below/file", directory / "hard")
    os.setxattr(directory / "below/file", "user.phpborg", b"attri\0bute")
    os.chown(directory, 70, 70)


def picture(directory: Path) -> dict[bytes, tuple[object, ...]]:
    """Everything of it that must come back."""
    found: dict[bytes, tuple[object, ...]] = {}
    for folder, names, files in os.walk(os.fsencode(directory)):
        for name in [b"", *names, *files]:
            path = os.path.join(folder, name).rstrip(b"/")
            status = os.lstat(path)
            content: object = None
            if stat.S_ISREG(status.st_mode):
                with open(path, "rb") as file:
                    content = hashlib.sha256(file.read()).hexdigest()
            elif stat.S_ISLNK(status.st_mode):
                content = os.readlink(path)
            attributes = {one: os.getxattr(path, one, follow_symlinks=False) for one in _attributes(path)}
            key = os.path.relpath(path, os.fsencode(directory))
            found[key] = (status.st_mode, status.st_uid, status.st_gid, content, tuple(sorted(attributes.items())))
    return found


def _attributes(path: bytes) -> list[str]:
    return [one for one in os.listxattr(path, follow_symlinks=False) if one.startswith("user.")]


def test_the_archive_holds_the_manifest_and_every_kind_of_volume(backup: Backup, engine, place, repository, tmp_path):
    device = place / "de vice"
    device.mkdir()
    engine.docker(*LOCAL, "named")
    engine.docker(*LOCAL, "--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", "o=size=4m,mode=1770", "memory")
    engine.docker(*LOCAL, "--opt", "type=none", "--opt", "o=bind", "--opt", f"device={device}", "bound")
    run(engine, "app", "--volume", "named:/named", "--volume", "/anonymous", "--env", "SECRET=canary-environment")
    mounts = {one["Destination"]: one for one in inspected(engine, "app")["Mounts"]}
    anonymous = mounts["/anonymous"]["Name"]
    data = {name: engine.data / "volumes" / name / "_data" for name in ("named", "memory", "bound", anonymous)}
    for directory in (data["named"], data[anonymous], device):
        fill(directory)
    expected = {
        name: picture(path)
        for name, path in (("named", data["named"]), (anonymous, data[anonymous]), ("bound", device))
    }
    before = volumes(engine)
    names = sorted(data)
    made = backup.make(
        containers=["app"], volumes=names, paths=[str(path) for path in data.values()], quiesce=[quiet("app", "pause")]
    )
    assert volumes(engine) == before
    held = engine.docker("ps", "--filter", f"label=phpborg.docker={backup.token}", "--format", "{{.Names}}").stdout
    assert sorted(held.split()) == [f"phpborg-{backup.token}-{number}" for number in (1, 2)]
    (data["memory"] / "in memory").write_text("of the moment")
    expected["memory"] = picture(data["memory"])
    backing.archive(backup, repository, PLACE, *(str(path) for path in data.values()))
    state = backup.state()
    assert (state["valid"], state["changed"]) == (True, [])
    out = tmp_path / "out"
    out.mkdir()
    backing.borg(repository, tmp_path / "b2", "extract", "--numeric-ids", f"{repository}::one", cwd=out)
    table = json.loads((out / PLACE[1:] / "manifest.json").read_bytes())
    assert stat.S_IMODE((out / PLACE[1:] / "manifest.json").stat().st_mode) == 0o600
    assert stat.S_IMODE((out / PLACE[1:]).stat().st_mode) == 0o700
    rows = {row["name"]: row for row in table["volumes"]}
    assert {name: row["read"] for name, row in rows.items()} == {
        "named": "path", anonymous: "path", "memory": "helper", "bound": "helper"
    }  # fmt: skip
    # Counted once more while who uses them was paused.
    assert {name for name, row in rows.items() if row["still"]} == {"named", anonymous}
    for name, row in rows.items():
        assert picture(out / row["path"][1:]) == expected[name], name
        assert row["problem"] is None
    assert (rows[anonymous]["anonymous"], rows[anonymous]["used_by"], len(anonymous)) == (True, ["app"], 64)
    assert rows["memory"]["options"]["o"] == "size=4m,mode=1770"
    (container,) = table["containers"]
    assert (container["name"], container["state"], container["image"]) == ("app", "running", PLAIN)
    assert "SECRET=canary-environment" in container["create"]["Env"]
    assert "canary-environment" not in json.dumps(made)
    assert "size=4m" not in json.dumps(made)
    kinds = {row["name"]: row for row in made["actual"]["volumes"]}
    assert kinds["named"]["size_bytes"] > 5000
    assert sorted(kinds) == names
    backup.remove()
    assert volumes(engine) == before
    assert not (data["memory"] / "in memory").exists()  # nobody has it mounted any more
    assert status(engine, "app") == "running"


def test_an_anonymous_volume_comes_back_at_the_same_place(backup: Backup, engine):
    """Case 119: the image says VOLUME /var/lib/data, nobody said -v."""
    engine.docker("run", "--detach", "--name", "app", "--network", "none", "phpborg-test/speaks:1")
    (mount,) = inspected(engine, "app")["Mounts"]
    backup.make(containers=["app"], volumes=[mount["Name"]], paths=[mount["Source"]])
    table = backup.manifest()
    (row,) = table["volumes"]
    assert (row["name"], row["anonymous"], row["path"]) == (mount["Name"], True, mount["Source"])
    (container,) = table["containers"]
    assert [one["name"] for one in container["mounts"]] == [mount["Name"]]
    engine.docker("rm", "--force", "app")  # without its volume
    again = bodies.rewrite(container, {})
    with Client(str(engine.socket)) as client:
        client.post("/containers/create", again["body"], name=again["name"])
    (mounted,) = inspected(engine, "app")["Mounts"]
    assert (mounted["Name"], mounted["Destination"]) == (mount["Name"], "/var/lib/data")


def test_a_volume_without_its_project_s_name_is_found_and_none_is_ever_made(backup: Backup, engine, place: Path):
    """Case 116."""
    (place / "docker-compose.yml").write_text(
        f"version: '2.4'\nservices:\n  web:\n    image: {PLAIN}\n    command: sleep 3600\n    init: true\n"
        "    volumes: ['data:/data']\nvolumes:\n  data: {}\n"
    )
    engine.compose("--project-name", "shop", "up", "--detach", cwd=str(place))
    before = volumes(engine)
    path = str(engine.data / "volumes/shop_data/_data")
    made = backup.make(containers=["shop_web_1"], volumes=["data", "nothing-like-it"], paths=[path])
    table = backup.manifest()
    assert [(row["name"], row["logical"], row["project"]) for row in table["volumes"]] == [
        ("shop_data", "data", "shop")
    ]
    assert [row["name"] for row in made["actual"]["volumes"]] == ["shop_data"]
    told = {(row["code"], row["name"]) for row in made["findings"]}
    assert told == {("volume_missing", "nothing-like-it"), ("volume_empty", "shop_data")}
    assert volumes(engine) == before
    backup.remove()
    assert volumes(engine) == before


def test_a_volume_s_name_that_two_projects_have_is_not_guessed(backup: Backup, engine, place: Path):
    text = f"version: '2.4'\nservices:\n  web:\n    image: {PLAIN}\n    command: sleep 9\n    volumes: ['data:/data']\n"
    (place / "docker-compose.yml").write_text(text + "volumes:\n  data: {}\n")
    for project in ("shop", "other"):
        engine.compose("--project-name", project, "up", "--no-start", cwd=str(place))
    with pytest.raises(errors.RequestRefused, match="several volumes: other_data, shop_data"):
        backup.make(containers=["shop_web_1", "other_web_1"], volumes=["data"])


def test_a_volume_that_cannot_be_mounted_is_told_and_the_rest_is_backed_up(backup: Backup, engine, place: Path):
    engine.docker(*LOCAL, "--opt", "type=none", "--opt", "o=bind", "--opt", f"device={place}/gone", "broken")
    engine.docker(*LOCAL, "good")
    paths = [str(engine.data / f"volumes/{name}/_data") for name in ("broken", "good")]
    made = backup.make(volumes=["broken", "good"], paths=paths)
    rows = {row["name"]: row for row in backup.manifest()["volumes"]}
    assert (rows["broken"]["path"], rows["broken"]["read"]) == (None, "not")
    assert "no such file or directory" in rows["broken"]["problem"]
    assert rows["good"]["path"] == paths[1]
    assert ("volume_unread", "broken") in {(row["code"], row["name"]) for row in made["findings"]}
    assert [(row["kind"], row["name"]) for row in made["not_included"]] == [("volume", "broken")]
    assert backup.state()["valid"] is True


def test_a_volume_in_memory_outlives_the_stop_of_its_only_user(backup: Backup, engine):
    engine.docker(*LOCAL, "--opt", "type=tmpfs", "--opt", "device=tmpfs", "memory")
    path = engine.data / "volumes/memory/_data"
    run(engine, "app", "--volume", "memory:/memory")
    (path / "file").write_text("only in memory")
    backup.make(containers=["app"], volumes=["memory"], paths=[str(path)], quiesce=[quiet("app", "stop")])
    assert status(engine, "app") == "exited"
    assert (path / "file").read_text() == "only in memory"
    assert backup.manifest()["volumes"][0]["read"] == "helper"
    backup.remove()
    assert status(engine, "app") == "running"
    assert (path / "file").read_text() == "only in memory"


def test_a_volume_that_is_not_held_any_more_makes_it_invalid(backup: Backup, engine):
    engine.docker(*LOCAL, "--opt", "type=tmpfs", "--opt", "device=tmpfs", "memory")
    backup.make(volumes=["memory"], paths=[str(engine.data / "volumes/memory/_data")])
    assert backup.state()["valid"] is True
    engine.docker("rm", "--force", f"phpborg-{backup.token}-1")
    state = backup.state()
    assert (state["valid"], "memory" in state["problem"]) == (False, True)


def test_a_volume_that_ours_cannot_hold_is_read_while_its_user_runs(backup: Backup, engine):
    """Something has the name of our container: so it cannot be made."""
    engine.docker(*LOCAL, "--opt", "type=tmpfs", "--opt", "device=tmpfs", "memory")
    path = engine.data / "volumes/memory/_data"
    run(engine, "app", "--volume", "memory:/memory")
    (path / "file").touch()
    engine.docker("create", "--name", f"phpborg-{backup.token}-1", PLAIN, "sleep", "1")
    backup.make(containers=["app"], volumes=["memory"], paths=[str(path)])
    assert backup.manifest()["volumes"][0]["read"] == "mounted"
    assert backup.state()["valid"] is True
    engine.docker("stop", "app")
    state = backup.state()
    assert (state["valid"], "memory" in state["problem"]) == (False, True)
    engine.docker("rm", f"phpborg-{backup.token}-1")


def test_all_that_belongs_to_a_project_is_in_the_archive(backup: Backup, engine, place: Path, repository, tmp_path):
    """Case 121."""
    app = place / "a pp; $(id)"
    files = {
        app / "docker-compose.yml": f"version: '2.4'\nservices:\n  web:\n    image: {PLAIN}\n    command: sleep 3600\n"
        "    init: true\n    env_file: secrets/app.env\n    network_mode: none\n"
        "    volumes: ['./data:/d', '../shared:/s', '../etc/app.conf:/c:ro', '../left out:/left', 'cache:/cache']\n"
        "volumes:\n  cache: {}\n",
        app / "more.yml": "version: '2.4'\nservices:\n  built:\n    build: ./img\n    command: sleep 3600\n"
        "    init: true\n    network_mode: none\n    environment: ['TOLD=${FROM_ENV}']\n",
        app / ".env": "FROM_ENV=canary\n",
        app / "secrets/app.env": "PASSWORD=canary\n",
        app / "img/Dockerfile": f"FROM {PLAIN}\nENV BUILT=yes\n",
        app / "data/file": "data",
        place / "shared/file": "shared",
        place / "etc/app.conf": "conf",
        place / "left out/file": "not chosen",
    }
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (app / "secrets/app.env").chmod(0o600)
    compose = ("--project-name", "kiosk", "--file", "docker-compose.yml", "--file", "more.yml")
    engine.compose(*compose, "up", "--detach", "--build", cwd=str(app))
    data = str(engine.data / "volumes/kiosk_cache/_data")
    binds = [str(place / "shared"), str(place / "etc/app.conf")]
    made = backup.make(
        containers=["kiosk_web_1", "kiosk_built_1"],
        volumes=["kiosk_cache"],
        paths=[str(app), data, *binds],
        binds=binds,
    )
    table = backup.manifest()
    (project,) = table["projects"]
    assert project["name"] == "kiosk"
    assert project["working_dir"] == str(app)
    assert project["config_files"] == [str(app / "docker-compose.yml"), str(app / "more.yml")]
    assert sorted(project["environment_files"]) == [str(app / ".env"), str(app / "secrets/app.env")]
    assert (project["services"], project["volumes"]) == (["built", "web"], ["kiosk_cache"])
    assert sorted(project["paths"]) == sorted([str(app), *binds])
    assert {row["source"]: (row["kind"], row["inside"], row["reason"]) for row in table["binds"]} == {
        str(app / "data"): ("directory", True, ""),
        str(place / "shared"): ("directory", False, ""),
        str(place / "etc/app.conf"): ("file", False, ""),
        str(place / "left out"): ("directory", False, "it was not chosen"),
    }
    assert [(row["kind"], row["name"]) for row in made["not_included"]] == [("bind", str(place / "left out"))]
    backing.archive(backup, repository, PLACE, str(app), data, *binds)
    out = tmp_path / "out"
    out.mkdir()
    backing.borg(repository, tmp_path / "b2", "extract", f"{repository}::one", cwd=out)
    for path, text in files.items():
        copy = out / str(path)[1:]
        if "left out" in str(path):
            assert not copy.exists()
        else:
            assert copy.read_text() == text
    assert stat.S_IMODE((out / str(app)[1:] / "secrets/app.env").stat().st_mode) == 0o600


def test_a_manifest_row_makes_the_same_network_and_names_what_is_external(backup: Backup, engine, place: Path):
    engine.docker("network", "create", "--subnet", "172.30.7.0/24", "--internal", "--label", "a=b", "proxy")
    (place / "docker-compose.yml").write_text(
        f"version: '2.4'\nservices:\n  web:\n    image: {PLAIN}\n    command: sleep 3600\n    init: true\n"
        "    networks: [proxy, default]\nnetworks:\n  proxy:\n    external: true\n"
    )
    engine.compose("--project-name", "shop", "up", "--detach", cwd=str(place))
    backup.make(containers=["shop_web_1"])
    rows = {row["name"]: row for row in backup.manifest()["networks"]}
    assert set(rows) == {"proxy", "shop_default"}
    assert (rows["proxy"]["external"], rows["shop_default"]["external"]) == (True, False)
    create = rows["proxy"]["create"]
    assert create["IPAM"]["Config"][0]["Subnet"] == "172.30.7.0/24"
    assert (create["Internal"], create["Labels"]) == (True, {"a": "b"})
