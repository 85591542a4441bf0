"""What a person has picked in an archive so far: a draft restore, kept while browsing and when leaving."""

from __future__ import annotations

from typing import Any

from backups.models import Archive
from recovery import paths
from recovery.models import Restore
from recovery.services import restores

MOST = 20_000


def draft_of(archive: Archive, user: Any) -> Restore | None:
    """The user's newest draft for this archive."""
    drafts = Restore.objects.filter(archive=archive, requested_by=user, state=Restore.State.DRAFT)
    return drafts.filter(kind=Restore.Kind.FILES).first()


def add(*, archive: Archive, tokens: list[str], by: Any) -> Restore:
    """Add items to the user's draft, made when there is none. What lies inside a picked folder is dropped."""
    draft = draft_of(archive, by)
    known = [] if draft is None else list(draft.selection)
    kept = [paths.token(path) for path in paths.without_nested([paths.parse(text) for text in known + tokens])][:MOST]
    if draft is None:
        return restores.draft(archive=archive, selection=kept, by=by)
    draft.selection = kept
    draft.save(update_fields=["selection"])
    return draft


def remove(*, draft: Restore, tokens: list[str]) -> None:
    """Take items out of a draft."""
    gone = set(tokens)
    draft.selection = [text for text in draft.selection if text not in gone]
    draft.save(update_fields=["selection"])
