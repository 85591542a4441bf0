"""Compose brings a project up from its restored files: for archives that do not say how a container was made."""

import os
import re
import time
from typing import Any, Dict, List, Optional

from .. import children, validate, wire
from . import bodies, containers, hiding, looking, reading, starting
from .engine import Engine
from .journal import Record
from .patience import MOST_SECONDS
from .steps import Context, Kind, Note, Problem, Table

_PROJECT = re.compile(r"[a-z0-9][a-z0-9_-]{0,200}")
_SECONDS = 1800.0
_WORDS = 3000
_MOST = 100
_LABEL = bodies.COMPOSE + "project"


class ComposeUp(Kind):
    """{"project", "working_dir", "files": [path], "env_files": [path], "seconds"}: up; what is there is not made anew

    Compose is content when it has given its orders: each container has `seconds` to become well.
    """

    def __init__(self, context: Context, params: Table) -> None:
        super().__init__(context, params)
        self._project = validate.text(params.get("project"), "project", _PROJECT)
        self._directory = validate.absolute(params.get("working_dir"), "working_dir")
        self._files = _paths(params.get("files"), "files")
        self._env_files = _paths(params.get("env_files"), "env_files")
        self._seconds = validate.number(params.get("seconds", 900), "seconds", 1, MOST_SECONDS)
        self._former: Dict[str, str] = {}
        self._lines: List[bytes] = []
        # Compose quotes the lines that it cannot read.
        self._secrets = hiding.of_files([*self._env_files, os.path.join(self._directory, b".env")])

    def prepare(self) -> Table:
        there = of_project(self.engine, self._project)
        networks = self.engine.get("/networks", filters={"label": [_filter(self._project)]})
        self._former = {said["Id"]: containers.state_of(said) for said in there}
        return {
            "project": self._project,
            "states": self._former,
            "networks": [one["Id"] for one in networks],
        }

    def apply(self, note: Note) -> Table:
        code, words = self._up()
        there = of_project(self.engine, self._project)
        rows = [row for said in there for row in (said.get("Config") or {}).get("Env") or []]
        words = hiding.hidden(words, hiding.of_environment(rows))
        if code != 0:
            raise wire.Refused("engine", "Compose ended with exit {}: {}".format(code, words or "it said nothing"))
        states = {}
        for said in there:
            # One that was there and stays stopped is of no service that Compose was to start.
            if said["Id"] not in self._former or containers.is_active(said):
                name = reading.name_of(said)
                states[name] = starting.wait_until_well(self.context, name, self._seconds)["state"]
        return {"containers": sorted(map(reading.name_of, there)), "states": states, "said": words}

    def _up(self) -> Any:
        found = looking.compose(self.context.control)
        if found is None:
            raise wire.Refused("missing", "there is no Compose on this server")
        command = str(found["command"]).split()
        argv = [children.find(command[0]) or command[0], *command[1:]]
        argv += ["--project-name", self._project, "--project-directory", wire.shown(self._directory)]
        for option, paths in (("--file", self._files), ("--env-file", self._env_files)):
            for path in paths:
                argv += [option, wire.shown(path)]
        env = children.environment({"DOCKER_HOST": "unix://" + self.engine.path})
        control = self.context.control
        code, _ = children.capture(
            [*argv, "up", "--detach", "--no-recreate"], control, env=env, on_line=self._hear, timeout=_SECONDS
        )
        return code, self._without_secrets(b"\n".join(self._lines))[-_WORDS:]

    def _without_secrets(self, said: bytes) -> str:
        return hiding.hidden(said.decode("utf-8", "replace"), self._secrets)

    def _hear(self, line: bytes) -> None:
        self._lines = [*self._lines[-50:], line]
        self.context.tell(step="compose_up", project=self._project, line=self._without_secrets(line)[:500])

    @staticmethod
    def undo(engine: Engine, record: Record) -> Optional[str]:
        if not record.done:
            # Compose has as long as that to end after its helper was killed.
            time.sleep(children.TERMINATE_SECONDS + 1)
        former: Dict[str, str] = record.undo["states"]
        problems = []
        for said in of_project(engine, record.undo["project"]):
            try:
                _back(engine, said, former.get(said["Id"]))
            except wire.Refused as refusal:
                problems.append("{}: {}".format(reading.name_of(said), refusal.message))
        if problems:
            raise Problem("; ".join(problems))
        for one in engine.get("/networks", filters={"label": [_filter(record.undo["project"])]}):
            if one["Id"] not in record.undo["networks"]:
                engine.delete("/networks/" + one["Id"])
        return None


def _back(engine: Engine, said: Table, former: Optional[str]) -> None:
    """As it was; one that was not there is removed, and its volumes stay but for those that nobody named."""
    if containers.is_active(said) and former not in ("running", "paused", "restarting"):
        containers.stop(engine, said)
    if former is None:
        shares = bool((said.get("HostConfig") or {}).get("VolumesFrom"))
        engine.delete("/containers/" + said["Id"], force=True, v=not shares)


def of_project(engine: Engine, project: str) -> List[Table]:
    """Its inspected containers."""
    rows = engine.get("/containers/json", all=True, filters={"label": [_filter(project)]})
    found = [engine.container(row["Id"]) for row in rows]
    return [said for said in found if said is not None]


def _filter(project: str) -> str:
    return "{}={}".format(_LABEL, project)


def _paths(value: Any, what: str) -> List[bytes]:
    return [validate.absolute(path, what) for path in validate.texts(value or [], what, _MOST)]
