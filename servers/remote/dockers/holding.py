"""Volumes that are not mounted by themselves (driver options, plugins): held mounted while they are read, or filled.

Each by a container of ours that sleeps, made of an image without a file, with this machine's own programs seen
read-only in it. It has no network, no rights, and nothing else of this machine. Its name is phpborg-TOKEN-NUMBER, its
label phpborg.docker=TOKEN: whoever has the token can take it away. The image is marked, too, and so is a volume
that the engine makes because it is asked for: what has another name for its owner, or none, is never removed.
"""

import os
from typing import Any, Dict, List, Optional

from .. import tree, wire
from . import hiding
from .engine import Engine, part

LABEL = "phpborg.docker"
# Another one: what a container has of its image is not taken for its own (probes/docker_said.py).
_LABEL_OF_IMAGE = "phpborg.holder"
_IMAGE = "phpborg-holder"
_INSIDE = "/volume"
_PROGRAM = "/usr/bin/sleep"
_DIRECTORIES = ("/usr", "/lib", "/lib32", "/lib64", "/libx32")
# Two blocks of nothing are the end of a tar.
_EMPTY = b"\0" * 1024
_MEMORY = 64 << 20


def needs_holding(volume: Dict[str, Any]) -> bool:
    """Is its content only there while a container uses it? `volume`: as the engine says it."""
    return volume.get("Driver") != "local" or bool(volume.get("Options"))


class Holder:
    """The containers of one token."""

    def __init__(self, engine: Engine, token: str) -> None:
        self._engine = engine
        self._token = token
        self._number = 0
        self._image: Optional[str] = None

    def hold(self, volume: Dict[str, Any], step: Optional[int] = None) -> Dict[str, Any]:
        """{"volume", "holder", "source": where its content is on this machine from now on, "mounted"}.

        `step`: of a restore, which fills it: the container has its number. Raises Refused with the engine's words,
        without the values of its options. Never makes a volume: one that is gone meanwhile is refused.
        """
        try:
            return self._hold(volume, step)
        except wire.Refused as refusal:
            words = hiding.hidden(refusal.message, hiding.of_options(volume.get("Options") or {}))
            raise wire.Refused(refusal.code, words, **refusal.facts) from None

    def _hold(self, volume: Dict[str, Any], step: Optional[int]) -> Dict[str, Any]:
        name = str(volume["Name"])
        self._number += 1
        own = name_of(self._token, self._number if step is None else step)
        body = dict(_body(name, self._token, step is None), Image=self._image_of_nothing(), Labels={LABEL: self._token})
        self._check_same(volume)
        made = self._engine.post("/containers/create", body, name=own)["Id"]
        path = "/containers/{}".format(part(made))
        self._check_not_made(volume, made)
        self._engine.post(path + "/start")
        said = self._engine.container(made) or {}
        if (said.get("State") or {}).get("Status") != "running":
            words = (said.get("State") or {}).get("Error") or "exit {}".format(
                (said.get("State") or {}).get("ExitCode")
            )
            raise wire.Refused("snapshot", "what should hold it does not run: {}".format(words))
        source = _source(said)
        if not source or not os.path.isdir(wire.raw(source)):
            raise wire.Refused("snapshot", "the engine mounts it where nobody else sees it")
        if volume.get("Driver") == "local" and not tree.is_mounted(wire.raw(source)):
            raise wire.Refused("snapshot", "the engine mounts it at {} where nobody else sees it".format(source))
        mounted = tree.is_mounted(wire.raw(source))
        return {"volume": name, "holder": own, "source": str(source), "mounted": mounted}

    def _image_of_nothing(self) -> str:
        if self._image is None:
            name = image_of(self._token)
            there = self._engine.find("/images/{}/json".format(part(name)))
            if there is not None and not _is_ours(there.get("Config"), self._token, _LABEL_OF_IMAGE):
                raise wire.Refused("exists", "there is an image {} that is not ours".format(name))
            if there is None:
                label = "LABEL {}={}".format(_LABEL_OF_IMAGE, self._token)
                self._engine.send("/images/create", [_EMPTY], fromSrc="-", repo=_IMAGE, tag=self._token, changes=label)
            self._image = name
        return self._image

    def _check_same(self, volume: Dict[str, Any]) -> None:
        now = self._engine.find("/volumes/{}".format(part(str(volume["Name"]))))
        if now is None or now.get("CreatedAt") != volume.get("CreatedAt"):
            raise wire.Refused("snapshot", "somebody removed it meanwhile")

    def _check_not_made(self, volume: Dict[str, Any], container: str) -> None:
        """The engine makes a volume that a container asks for: one removed at that very moment goes again.

        What it made has our label. One of this name that somebody made anew has not, and stays.
        """
        try:
            self._check_same(volume)
        except wire.Refused:
            self._engine.delete("/containers/{}".format(part(container)), force=True)
            path = "/volumes/{}".format(part(str(volume["Name"])))
            if _is_ours(self._engine.find(path), self._token):
                self._engine.delete(path)
            raise


def _is_ours(said: Optional[Dict[str, Any]], token: str, label: str = LABEL) -> bool:
    return ((said or {}).get("Labels") or {}).get(label) == token


def name_of(token: str, number: int) -> str:
    """The name of one of this token's containers."""
    return "phpborg-{}-{}".format(token, number)


def _source(said: Dict[str, Any]) -> Optional[str]:
    return next((one.get("Source") for one in said.get("Mounts") or [] if one.get("Destination") == _INSIDE), None)


def image_of(token: str) -> str:
    """The name of the image that this token's containers are made of."""
    return "{}:{}".format(_IMAGE, token)


def _body(volume: str, token: str, read_only: bool) -> Dict[str, Any]:
    mounts: List[Dict[str, Any]] = [
        {"Type": "bind", "Source": path, "Target": path, "ReadOnly": True, "BindOptions": {"Propagation": "rprivate"}}
        for path in _DIRECTORIES
        if os.path.isdir(path)
    ]
    content = {"Type": "volume", "Source": volume, "Target": _INSIDE, "ReadOnly": read_only}
    mounts.append(dict(content, VolumeOptions={"NoCopy": True, "Labels": {LABEL: token}}))
    return {
        "Cmd": [_PROGRAM, "2147483647"],
        "Entrypoint": [],
        "User": "65534:65534",
        "WorkingDir": "/",
        "NetworkDisabled": True,
        "StopSignal": "SIGKILL",
        "HostConfig": {
            "Mounts": mounts,
            "NetworkMode": "none",
            "ReadonlyRootfs": True,
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
            "Memory": _MEMORY,
            "PidsLimit": 8,
            "RestartPolicy": {"Name": "no"},
            "LogConfig": {"Type": "none"},
        },
    }


def listing(engine: Engine, token: str) -> List[Dict[str, Any]]:
    """Our containers of this token, whatever state they are in, as the engine lists them."""
    found: List[Dict[str, Any]] = engine.get(
        "/containers/json", all=True, filters={"label": ["{}={}".format(LABEL, token)]}
    )
    return found


def release(engine: Engine, token: str) -> List[str]:
    """Our containers and the image go; the names of what was there. Never a volume."""
    removed = []
    for listed in listing(engine, token):
        engine.delete("/containers/{}".format(part(str(listed["Id"]))), force=True)
        removed.append(str((listed.get("Names") or [listed["Id"]])[0]).lstrip("/"))
    if _release_image(engine, token):
        removed.append(image_of(token))
    return removed


def _release_image(engine: Engine, token: str) -> bool:
    image = image_of(token)
    there = engine.find("/images/{}/json".format(part(image))) or {}
    if not _is_ours(there.get("Config"), token, _LABEL_OF_IMAGE):
        return False
    return engine.delete("/images/{}".format(part(image)), force=True)


def found(engine: Engine, token: str, name: str, volume: str) -> Optional[Dict[str, Any]]:
    """What `hold` has answered for our container of this name, while that runs and its volume is there."""
    said = engine.container(name) or {}
    source = _source(said)
    if not _is_ours(said.get("Config"), token) or not (said.get("State") or {}).get("Running") or not source:
        return None
    if not os.path.isdir(wire.raw(source)):
        return None
    return {"volume": volume, "holder": name, "source": source, "mounted": tree.is_mounted(wire.raw(source))}


def release_one(engine: Engine, token: str, name: str) -> None:
    """Our container of this name goes, and with the last one the image. One that is not ours stays."""
    if _is_ours((engine.container(name) or {}).get("Config"), token):
        engine.delete("/containers/{}".format(part(name)), force=True)
    if not listing(engine, token):
        _release_image(engine, token)


def lost(engine: Engine, token: str, held: List[Dict[str, Any]]) -> List[str]:
    """The names of volumes that are not held any more."""
    running = {str((one.get("Names") or [""])[0]).lstrip("/") for one in listing(engine, token) if _runs(one)}
    ours = [row for row in held if row.get("holder") is not None]
    gone = [row for row in ours if row["holder"] not in running]
    return [str(row["volume"]) for row in held if row in gone or not is_there(row)]


def _runs(listed: Dict[str, Any]) -> bool:
    return listed.get("State") == "running"


def is_there(row: Dict[str, Any]) -> bool:
    """Is the content of a held volume still where it was?"""
    source = wire.raw(str(row.get("source") or ""))
    return os.path.isdir(source) and (not row["mounted"] or tree.is_mounted(source))
