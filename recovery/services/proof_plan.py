"""The plan of a proof: what is shown before it begins is what its task carries out, step by step."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from backups.borg import argv, listing
from phpborg.errors import PhpBorgError
from recovery.checks.known import CHECKERS
from recovery.engines import find, images
from recovery.engines.base import Found
from recovery.models import Depth, Proof
from recovery.services import drills, looking, proof_dumps, session_plan
from recovery.services import proof_start as start
from recovery.services.plan import PlanStep

_VIEW = "/VIEW"  # stands for the view's path, which each proof makes anew


def steps(proof: Proof) -> tuple[PlanStep, ...]:
    """In order. Nothing of it needs a lock, and nothing is written but the record."""
    found = [_view(), _list(proof)]
    if proof.depth >= Depth.READ:
        found += _read(proof)
    if proof.depth >= Depth.START:
        provider = drills.provider_of(proof.archive)
        found += _start(proof) if provider is None else provider.steps(proof)
    return (*found, _stamp())


def _view() -> PlanStep:
    return PlanStep(
        "view",
        _("Make a view of the repository that holds no lock: backups and prune go on."),
        undo=_("The view is removed with the proof."),
    )


def _list(proof: Proof) -> PlanStep:
    return PlanStep(
        "list",
        _("Open the archive, read its list to the end, and compare its files with what was written."),
        argv.list_files(settings.BORG_BINARY, _VIEW, proof.archive_name, format=listing.FORMAT_WITH_LINKS)
        if proof.archive_name
        else (),
    )


def _read(proof: Proof) -> list[PlanStep]:
    if proof.sample_percent >= 100:
        words = _("Read everything back: each piece of data is decrypted and compared with its checksum.")
        name = proof.archive_name
        command = argv.extract(settings.BORG_BINARY, _VIEW, name, None, dry_run=True) if name else ()
        found = [PlanStep("read", words, command)]
    else:
        words = _("Read {percent} % of the bytes back: whole files that the seed {seed} chooses, each with a checksum.")
        found = [PlanStep("read", words, facts={"percent": str(proof.sample_percent), "seed": proof.seed})]
    if proof.archive is not None and proof_dumps.paths_of(proof.archive):
        found.append(PlanStep("dumps", _("Look whether each dump ends as a complete one does.")))
    return found


def _start(proof: Proof) -> list[PlanStep]:
    found = [PlanStep("look", _("Look which databases the archive holds."))]
    known = looking.answer_of(proof.archive) if proof.archive is not None else None
    undo = _("The container, its layers and its mount are removed.")
    if known is None:
        fetch = _("Fetch the image for each of them, unless the server has it already.")
        found.append(PlanStep("image", fetch, undo=_("It stays for the next time.")))
        words = _("Start each database in a container, read-only and without network, and let it check itself.")
        found.append(PlanStep("start", words, undo=undo))
    for one in known or ():
        found += [*_image(proof, one), start_step(one, undo)]
    if proof.queries:
        words = _("Ask {count} queries and compare their answers with what is expected.")
        found.append(PlanStep("queries", words, facts={"count": str(len(proof.queries))}))
    return found


def _image(proof: Proof, found: Found) -> list[PlanStep]:
    """None where there is no place, no check or no image: then nothing is fetched, and its start says why."""
    try:
        engine = start.engine_of(proof, start.place_of(proof))
        image = images.choose(find.engine_of(found), found, wanted=proof.image).name
    except PhpBorgError:
        return []
    return [session_plan.fetch_step(engine, image)] if found.product in CHECKERS else []


def start_step(found: Found, undo: str = "") -> PlanStep:
    """One database that was found."""
    facts = {"product": str(found.product), "version": found.version or "?", "path": looking.shown_path(found)}
    if found.product not in CHECKERS:
        return PlanStep(
            "start", _("{product} {version} in “{path}” is not started: there are no checks of it."), facts=facts
        )
    words = _(
        "Start {product} {version} on “{path}” in a container, read-only and without network, and let it check itself."
    )
    return PlanStep("start", words, facts=facts, undo=undo)


def _stamp() -> PlanStep:
    return PlanStep("stamp", _("Mark the archive as proven, with date, depth and duration."))


def as_json(proof: Proof) -> list[dict[str, Any]]:
    """For `--dry-run --json`."""
    return [{"code": step.code, "sentence": step.sentence, "command": step.command} for step in steps(proof)]
