"""Expected failures: one class each, with a code, what happened, and what to do next.

Each room keeps its own classes (`servers/errors.py`, `backups/errors.py` …); this module is their
root. A task stores only the code, the facts and the detail, so a page or a mail renders the two
sentences later in its reader's language.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

_REGISTRY: dict[str, type[PhpBorgError]] = {}


class Described(NamedTuple):
    """An error in words: `title` says what happened, `advice` what to do next."""

    code: str
    title: str
    advice: str


class PhpBorgError(Exception):
    """Something that can be expected to go wrong.

    `facts` fill the named placeholders of `title` and `advice`; `detail` is the outside's own words
    (a tool's message), shown verbatim. Neither may hold a secret.
    """

    code: ClassVar[str] = "GEN-01"
    title: ClassVar[str | Promise] = _("The operation failed.")
    advice: ClassVar[str | Promise] = _("Read the detail below and the task's log.")

    def __init_subclass__(cls) -> None:
        known = _REGISTRY.get(cls.code)
        if known is not None and known.__qualname__ != cls.__qualname__:
            raise TypeError(f"error code {cls.code} is used by {known.__qualname__} and {cls.__qualname__}")
        _REGISTRY[cls.code] = cls

    def __init__(self, detail: str = "", **facts: str | int) -> None:
        self.detail = detail
        self.facts = facts
        super().__init__(detail)

    def __str__(self) -> str:
        described = describe(self.code, self.facts)
        return f"{described.title} {self.detail}".strip()


class NotAllowed(PhpBorgError):
    """The signed-in person lacks the right."""

    code = "GEN-02"
    title = _("You do not have the right to do this.")
    advice = _("Ask an administrator, or sign in with another account.")


class InvalidInput(PhpBorgError):
    """A value that a person gave cannot be used; `field` and `problem` are facts."""

    code = "GEN-03"
    title = _("“{field}” cannot be used: {problem}")
    advice = _("Correct the value and try again.")


class SecretUnreadable(PhpBorgError):
    """The key file does not decrypt what the database holds."""

    code = "KEY-01"
    title = _("A stored secret cannot be decrypted.")
    advice = _(
        "The encryption key file is not the one that wrote this database. Put the right key file back "
        "(see “Recovering the key” in the administrator's guide), or enter the secret again."
    )


class _Blanks(dict[str, Any]):
    """Placeholders without a fact stay visible instead of raising."""

    def __missing__(self, key: str) -> str:
        return "…"


def describe(code: str, facts: Mapping[str, Any] | None = None) -> Described:
    """The two sentences of an error in the active language; an unknown code gets the general ones."""
    kind = _REGISTRY.get(code, PhpBorgError)
    values = _Blanks(facts or {})
    return Described(code, str(kind.title).format_map(values), str(kind.advice).format_map(values))


_REGISTRY[PhpBorgError.code] = PhpBorgError


def all_codes() -> dict[str, type[PhpBorgError]]:
    """Every registered error by its code (the documentation test reads it)."""
    return dict(_REGISTRY)
