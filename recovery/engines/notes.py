"""What a person should know before a start: a code with facts, and a sentence in the reader's language."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

_SENTENCES: dict[str, str | Promise] = {
    "doubtful": _("The files were copied while the server ran: at best they are as after a crash; it may not start."),
    "missing": _("“{path}” ({kind}) is not in this archive."),
    "damaged": _("“{file}” is damaged or of an unknown format: what it says is not used."),
    "disagree": _("The files do not agree on the version: {said}."),
    "no_log": _(
        "No binary log is in the data directory: if the server wrote one elsewhere, the last transactions that it "
        "committed may be missing."
    ),
    "collation": _(
        "The image may sort text in another way than the server did: indexes on text can give wrong answers."
    ),
    "libraries": _("The server loaded these libraries at its start; they are left out: {names}."),
    "superuser": _("Before PostgreSQL 14 only a superuser can read everything: the login is one."),
    "read_only_login": _("This server has no read-only mode of its own: the login that is handed out may only read."),
    "replica_set": _(
        "It was a member of a replica set: it runs alone, and what its log of operations holds beyond the last "
        "checkpoint is applied first."
    ),
    "checkpoint": _(
        "It was a member of a replica set: it runs alone, as of its last checkpoint, which is usually less than a "
        "minute older than the files."
    ),
    "shard": _("It was a member of a sharded cluster: only the documents of this member are here."),
    "nodes": _("What other nodes of its cluster held is not here; without a majority of them it may not start."),
    "relay": _(
        "The node refuses every write, but whoever may change settings could lift that: the session's port asks for "
        "its login and lets only reading requests through."
    ),
}


@dataclass(frozen=True)
class Note:
    """`facts` fill the sentence."""

    code: str
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """For people."""
        return str(_SENTENCES[self.code]).format(**self.facts)
