"""Proofs on the pages of other rooms: the stamp of an archive, and how a job stands."""

from __future__ import annotations

from typing import Any

from django import template
from django.utils.translation import gettext

from backups.models import Archive, BackupJob
from recovery.models import Depth, ProofPlan
from recovery.services import proof_schedules, proofs

register = template.Library()


@register.inclusion_tag("recovery/proofs/_stamp.html")
def proof_stamp(archive: Archive) -> dict[str, Any]:
    """Date and depth of the last good proof of an archive; nothing without one."""
    return {"archive": archive}


@register.filter
def depth_words(depth: int | None) -> str:
    """A depth in words."""
    return str(Depth(depth).label) if depth in Depth.values else ""


@register.filter
def proof_schedule(plan: ProofPlan) -> str:
    """When the proofs of a plan are made, as a sentence."""
    return proof_schedules.describe(plan)


@register.filter
def problem_words(row: dict[str, Any]) -> str:
    """Of a problem or a note in the evidence: the server's words as they are, ours in the reader's language."""
    words, facts = str(row.get("words") or ""), row.get("facts") or {}
    known = gettext(words) if words else ""
    return known.format_map(facts) if facts else known


@register.inclusion_tag("recovery/proofs/_job_panel.html", takes_context=True)
def job_proofs_panel(context: template.Context, job: BackupJob) -> dict[str, Any]:
    """How the proofs of a job stand, for its page."""
    return {
        "job": job,
        "standing": proofs.standing_of(job),
        "can_operate": context.get("can_operate"),
        "can_administer": context.get("can_administer"),
        "csrf_token": context.get("csrf_token"),
    }
