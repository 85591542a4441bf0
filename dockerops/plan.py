"""The plan of a Docker restore: ordered steps, as they are shown, run and written as a script.

A plan holds names, paths and sizes and never a secret: how a container, volume or network is made stays in the
archive's manifest, and `filling.fill` takes it from there for the step that needs it. The parameters of each kind of
step are listed in docs/docker-plan.md; `dockerops.sentences` has its words.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from dockerops import sentences, typed

FORMAT = 1
# What only adds, and takes its time: everything else touches what is there.
BEFORE = (
    "load_image",
    "pull_image",
    "need_image",
    "create_network",
    "create_volume",
    "hold_volume",
    "extract",
    "rewrite_files",
)


@dataclass(frozen=True)
class Step:
    """One step. `why` chooses between the sentences of its kind; `facts` fill them. Texts are in the active language.

    `bytes` is how much it writes, None where it writes nothing or nobody knows.
    """

    number: int
    op: str
    params: dict[str, Any] = field(default_factory=dict)
    why: str = ""
    facts: dict[str, str | int] = field(default_factory=dict)
    touches: tuple[str, ...] = ()
    bytes: int | None = None

    @property
    def title(self) -> str:
        """Its name in a list of steps."""
        return sentences.title(self.op)

    @property
    def sentence(self) -> str:
        """What it does and why, for people."""
        return sentences.sentence(self.op, self.why, self.facts)

    @property
    def undo(self) -> str:
        """How it is undone; empty when nothing has to be."""
        return sentences.undo(self.op, self.facts)

    @property
    def is_of_others(self) -> bool:
        """Does it bring back one that stays as it was, and only had to be stopped meanwhile?"""
        return self.op in ("start", "healthy") and self.why.startswith("again")

    def as_json(self) -> dict[str, Any]:
        """Without language; for a database."""
        table: dict[str, Any] = typed.written(self)
        return table

    @classmethod
    def from_json(cls, raw: Any) -> Step:
        """What `as_json` wrote."""
        table = typed.restored(raw)
        return cls(
            number=int(table["number"]),
            op=str(table["op"]),
            params=dict(table.get("params") or {}),
            why=str(table.get("why") or ""),
            facts=dict(table.get("facts") or {}),
            touches=tuple(table.get("touches") or ()),
            bytes=table.get("bytes"),
        )


@dataclass(frozen=True)
class Note:
    """What a reader of the plan should know; `code` names a sentence of `dockerops.sentences`."""

    code: str
    facts: dict[str, str | int] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """In the active language."""
        return sentences.note(self.code, self.facts)


@dataclass(frozen=True)
class Protected:
    """What is replaced and how it is kept. `how`: aside (renamed beside it), archive, dropped (after success)."""

    what: str  # path, container
    name: str
    how: str
    kept: str = ""  # the name that it has meanwhile
    bytes: int | None = None


@dataclass(frozen=True)
class DockerPlan:
    """All that a restore will do. `renames` is what `bodies.rewrite` takes; `token` marks what is kept aside."""

    archive_name: str
    archive_id: str
    repository: str
    server_name: str
    socket: str
    steps: tuple[Step, ...] = ()
    renames: dict[str, dict[str, str]] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()
    protected: tuple[Protected, ...] = ()
    manifest: str = ""  # its path in the archive; empty: it has none
    manifest_sha256: str = ""  # bodies are the manifest's: another one would be another plan
    token: str = ""
    protect: str = "aside"
    window_hours: int = 24
    format: int = FORMAT

    def as_json(self) -> dict[str, Any]:
        """JSON that a database keeps: no dates, no language, the same for the same plan."""
        table: dict[str, Any] = typed.written(self)
        return {**table, "hash": self.hash}

    @classmethod
    def from_json(cls, raw: Any) -> DockerPlan:
        """What `as_json` wrote. Its stored hash is not believed: `hash` is computed."""
        table = typed.restored(raw)
        bare = {key: value for key, value in table.items() if key != "steps"}
        found = typed.read(cls, bare)
        steps = tuple(Step.from_json(typed.stored(row)) for row in table.get("steps") or ())
        return cls(**{**{name: getattr(found, name) for name in cls.__dataclass_fields__}, "steps": steps})

    @property
    def hash(self) -> str:
        """SHA-256 of the plan's canonical JSON: two plans with the same hash do the same."""
        return hashlib.sha256(self.canonical.encode("ascii")).hexdigest()

    @property
    def canonical(self) -> str:
        """The plan as one line of ASCII, always the same for the same plan."""
        return json.dumps(typed.written(self), sort_keys=True, separators=(",", ":"), ensure_ascii=True)

    @property
    def brings_up(self) -> str:
        """What becomes of containers: “former” states, “compose” starts them, or “nothing” is started."""
        kinds = {step.op for step in self.steps if not step.is_of_others}
        return "compose" if "compose_up" in kinds else "former" if "start" in kinds else "nothing"

    @property
    def bytes(self) -> int:
        """How much is extracted; at least so much where `is_size_known` is false."""
        return sum(self._known(step) for step in self.steps if step.op == "extract")

    @property
    def is_size_known(self) -> bool:
        """Does anything say of all that is extracted how big it is?"""
        return all(step.bytes is not None for step in self.steps if step.op == "extract")

    def _known(self, extract: Step) -> int:
        """Of this extraction: all, or what is known of the places that it is for."""
        if extract.bytes is not None:
            return extract.bytes
        directory = extract.params["directory"]
        places = (step for step in self.steps if step.op == "exchange" and step.params["stage"] == directory)
        return sum(place.bytes or 0 for place in places)
