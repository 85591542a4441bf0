"""One step of a plan, carried out: filled from the manifest when it needs a body, extracted, or told to the engine."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import Any

from backups.borg import argv as commands
from backups.services import repositories
from dockerops.errors import NoBodies
from dockerops.plan import DockerPlan, Step
from dockerops.scripts.filling import fill
from dockerops.services.engine_at import EngineAt, Said
from dockerops.services.extracting import Extraction, Portion
from dockerops.services.safety import Safety
from phpborg.tasks.context import TaskContext
from phpborg.ui.format import byte_size
from servers.remote.dockers.bodies import rewrite
from servers.transport.base import Link

_FILLED = {"create_container": "container", "create_volume": "volume", "create_network": "network"}
_OUT_OF_THE_ARCHIVE = ("load_image", "borrow_image", "load_dump")
Way = Callable[[], Link]


class Carrier:
    """Carries out steps of one plan. `manifest` holds secrets and stays in this process."""

    def __init__(
        self,
        context: TaskContext,
        plan: DockerPlan,
        engine: EngineAt,
        manifest: Mapping[str, Any],
        extraction: Extraction,
        portions: Mapping[int, Portion],
        way: Way,
        safety: Safety,
    ) -> None:
        self.context, self.plan, self.engine = context, plan, engine
        self._manifest = manifest
        self._extraction = extraction
        self._portions = portions
        self._way = way
        self._safety = safety
        self.done: dict[int, Said] = {}

    def carry(self, step: Step, row: dict[str, Any]) -> Said:
        """The step's facts; `row` is its line on the page."""
        if step.op == "extract":
            facts: Said = dict(self._extraction.extract(self._portions[step.number], self._way()))
        elif step.op == "archive_former":
            facts = self._safety.make(step)
        else:
            facts = self._tell(step)
        self.done[step.number] = facts
        row["detail"] = _detail(step, facts)
        return facts

    def filled(self, step: Step) -> Said:
        """The parameters as the helper gets them. Raises NoBodies."""
        try:
            params = fill(step.op, step.params, dict(self._manifest), self.plan.renames, rewrite)
        except (LookupError, TypeError):
            name = str(step.params.get("name") or step.params.get("manifest_name") or "")
            raise NoBodies(kind=_FILLED.get(step.op, step.op), name=name) from None
        if step.op == "exchange":
            params["made"] = self._extraction.made.get(step.params["stage"], [])
        return params

    def _tell(self, step: Step) -> Said:
        more: Said = {}
        secrets: dict[str, str] = {}
        link = None
        params = self.filled(step)
        if step.op in _FILLED:  # bodies hold environments, options hold passwords
            secrets, params = {"params": json.dumps(params)}, {}
        if step.op in _OUT_OF_THE_ARCHIVE:
            link = self._way()
            archive = self._extraction.archive
            words = commands.extract(
                "borg", link.repository, archive.name, [os.fsencode(step.params["stream"])], to_stdout=True
            )[1:]
            more = {
                "argv": [os.fsdecode(word) for word in words],
                "env": repositories.told_there(archive.repository),
            }
            secrets |= repositories.secrets_there(archive.repository)
        return self.engine.do(
            step.number,
            {"op": step.op, "params": params},
            stop=self.context.stop,
            hear=self._hear,
            secrets=secrets,
            more=more,
            link=link,
        )

    def _hear(self, said: Said) -> None:
        """What a long step says of itself, for people who watch."""
        if said.get("type") != "phpborg_docker":
            return
        words = [str(said[name]) for name in ("container", "state", "health", "image", "text") if said.get(name)]
        self.context.progress(path=" · ".join(words)[:500])


def _detail(step: Step, facts: Said) -> str:
    """A few numbers and names for the page, in no language; never a body, an environment or an option."""
    if step.op == "extract":
        return f"{facts['entries']} · {byte_size(facts['bytes'])}"
    if step.op == "load_dump":
        counts = [str(facts[name]) for name in ("tables", "rows") if facts.get(name) is not None]
        return " · ".join([*counts, byte_size(facts["bytes"])])
    words = [facts[name] for name in ("archive", "image") if isinstance(facts.get(name), str)]
    return " · ".join(words)[:500]
