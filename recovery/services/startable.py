"""Why a database that was found cannot be started, told before it is chosen; asked of the very recipe of a start."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import gettext as _

from phpborg.errors import describe
from recovery.engines import find, images
from recovery.engines.base import Consistency, Found
from recovery.errors import CannotStart, ImageRefused
from recovery.services import serving


@dataclass(frozen=True)
class Hindrance:
    """What is in the way, and what helps; two sentences in the reader's language."""

    sentence: str
    remedy: str


def hindrance(found: Found) -> Hindrance | None:
    """None for one that can be started with the image that is configured for it."""
    try:
        serving.request(found, "any", read_only=True)
    except CannotStart as problem:
        return Hindrance(
            _reason(problem.detail), _("Choose another archive, or restore the files and mend them by hand.")
        )
    try:
        images.choose(find.engine_of(found), found)
    except CannotStart as problem:
        return Hindrance(_reason(problem.detail), _("Name an image of its version below, and choose it openly."))
    except ImageRefused as problem:
        told = describe(problem.code, problem.facts)
        return Hindrance(told.title, told.advice)
    return None


def doubt(found: Found) -> str:
    """What is better than files that may not start; empty where nothing is to be doubted."""
    if found.consistency != Consistency.DOUBTFUL:
        return ""
    return _("A try does the archive no harm; prefer one of a snapshot or of the server's own copy.")


def _reason(detail: str) -> str:
    """The words of CannotStart: two of ours, else what is missing or where it would have to lie."""
    if detail == "version":
        return _("The version of its files is not known.")
    if detail == "owner":
        return _("The account that owns its files is not known.")
    return _("Something that a start needs is missing or cannot be laid in its place: {what}.").format(what=detail)
