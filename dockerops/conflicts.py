"""What is in the way of a restore, before anything is touched: the rules over the facts, in a fixed order."""

from __future__ import annotations

from collections.abc import Iterable

from dockerops import conflict_host, conflict_machine, conflict_rules
from dockerops.choice import Choice
from dockerops.conflict import SEVERITIES, Conflict
from dockerops.conflict_facts import Situation, paths_to_ask, situation
from dockerops.inventory import Inventory
from dockerops.manifest import Contents
from dockerops.options import Options

__all__ = ["Conflict", "find", "find_in", "open_ones", "paths_to_ask"]
_RULES = (
    conflict_rules.options,
    conflict_rules.names_taken,
    conflict_rules.project_taken,
    conflict_rules.aside_running,
    conflict_rules.containers_in_use,
    conflict_rules.removes_itself,
    conflict_rules.ourselves,
    conflict_rules.volumes,
    conflict_machine.paths,
    conflict_host.containers,
    conflict_host.volumes,
    conflict_host.targets,
    conflict_rules.networks,
    conflict_rules.addresses,
    conflict_rules.aliases,
    conflict_rules.ports_taken,
    conflict_rules.references,
    conflict_rules.dependants,
    conflict_rules.with_originals,
    conflict_machine.binds,
    conflict_machine.images,
    conflict_machine.space,
    conflict_machine.versions,
)


def find(
    contents: Contents,
    there: Inventory,
    choice: Choice,
    options: Options,
    consents: Iterable[str] = (),
    *,
    own: bool = False,
) -> list[Conflict]:
    """Every conflict, those that stop a restore first. `consents` change what is planned, not what is told.

    `own`: the archive is of the server that it goes to. Raises NothingChosen and NotInArchive.
    """
    return find_in(situation(contents, there, choice, options, consents, own=own))


def find_in(facts: Situation) -> list[Conflict]:
    """The same of a situation that is known already."""
    found = {(one.kind, one.severity, one.subject, one.consent): one for rule in _RULES for one in rule(facts)}
    return sorted(found.values(), key=lambda one: SEVERITIES.index(one.severity))


def open_ones(conflicts: Iterable[Conflict], consents: Iterable[str]) -> list[Conflict]:
    """Those that still keep the restore from beginning."""
    agreed = frozenset(consents)
    return [one for one in conflicts if one.is_open(agreed)]
