"""One thing that stands between an archive and an engine."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dockerops import sentences, typed

# stop: what runs has to be stopped or replaced, with consent. block: no consent helps, the options have to change.
# warn: consent is not needed, but somebody should know. info: a fact.
SEVERITIES = ("block", "stop", "warn", "info")


@dataclass(frozen=True)
class Conflict:
    """`subject` is what it is about; `consent` the key by which somebody agrees, empty where that is not needed."""

    kind: str
    severity: str
    subject: str
    facts: dict[str, str | int] = field(default_factory=dict)
    consent: str = ""
    remedy_code: str = ""

    @property
    def sentence(self) -> str:
        """What is in the way, in the active language."""
        return sentences.conflict(self.kind, self.facts)

    @property
    def remedy(self) -> str:
        """What to do, in the active language."""
        return sentences.remedy(self.remedy_code or self.kind, self.facts)

    def as_json(self) -> dict[str, Any]:
        """JSON that a database keeps; sentences are made when they are read."""
        table: dict[str, Any] = typed.written(self)
        return table

    @classmethod
    def from_json(cls, raw: Any) -> Conflict:
        """What `as_json` wrote."""
        found: Conflict = typed.read(cls, typed.restored(raw))
        return found

    def is_open(self, consents: frozenset[str] | set[str]) -> bool:
        """Does it still keep the restore from beginning?"""
        return self.severity == "block" or (self.severity == "stop" and self.consent not in consents)
