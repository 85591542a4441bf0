"""What the next commands of all engines are made of. Pure."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass

from django.utils.translation import gettext as _

from recovery.services.dumps import Record

# Whom packages make for such a server, the usual one first. An archive may say anybody, root too: whom it names
# would be given the files and would run what is in them.
_ACCOUNTS = {
    "postgresql": ("postgres",),
    "mysql": ("mysql", "mariadb"),
    "mongodb": ("mongodb", "mongod"),
    "elasticsearch": ("elasticsearch", "opensearch"),
}
# What stands for an account that a person has to choose: no system has one of this name.
_CHOSEN = "ACCOUNT"
# A link is changed itself, and not what it leads to.
_GIVE = ("chown", "-Rh")


@dataclass(frozen=True)
class Command:
    """One command and what it is for. No words: something to be done or known without a command."""

    argv: tuple[str, ...]
    sentence: str

    @property
    def line(self) -> str:
        """As a shell wants it, bash or zsh where a name holds what cannot be printed; without any such character."""
        return " ".join(map(_quoted, self.argv))


def _quoted(word: str) -> str:
    """A terminal takes some characters of a pasted line for keys, and others make it look like another line."""
    if word.isprintable():
        return shlex.quote(word)
    plain = (chr(byte) if 32 <= byte < 127 and byte not in b"'\\" else f"\\{byte:03o}" for byte in os.fsencode(word))
    return f"$'{''.join(plain)}'"


def owner_of(record: Record) -> str:
    """The account that the archive names or that packages make; ACCOUNT when it names one that none of them makes."""
    known = _ACCOUNTS[record.engine]
    named = record.facts.get("owner") or known[0]
    return named if named in known else _CHOSEN


def to_choose(record: Record) -> list[Command]:
    """What is to be done before all else where the account is not known; empty otherwise."""
    if owner_of(record) != _CHOSEN:
        return []
    text = _(
        "The archive names the account {owner}, which no package makes for such a server. Choose the one that is to "
        "own these files and run them, never root, and put its name for {word} in the commands."
    )
    return [Command((), text.format(owner=record.facts.get("owner"), word=_CHOSEN))]


def looked_at(made: list[Command]) -> list[Command]:
    """The ways to what is given away by these commands, to be read before: chown as root follows links on them."""
    places = [command.argv[-1] for command in made if command.argv[:2] == _GIVE]
    text = _(
        "Shows the ways there. Go on only when no line begins with “l” (a link) and the directories above belong to "
        "root or to an account that you trust as much: others could exchange what the next command changes."
    )
    return [Command(("namei", "-l", *places), text)] if places else []


def given(record: Record, place: str) -> Command:
    """The directory and all in it become the account's."""
    owner = owner_of(record)
    sentence = _("The files belong to the account {owner}, under whatever number it has here.")
    return Command((*_GIVE, f"{owner}:", place), sentence.format(owner=owner))


def own(record: Record, place: str, mode: str) -> list[Command]:
    """The directory and all in it belong to the server, and nobody else enters."""
    sentence = _("Nobody else may look into it; the server refuses to start otherwise.")
    return [given(record, place), Command(as_owner(record, "chmod", mode, place), sentence)]


def as_owner(record: Record, *argv: str) -> tuple[str, ...]:
    """A command line that its account carries out.

    All that is done in a directory after it was given away: its owner can exchange what is in it at any moment.
    """
    return ("runuser", "-u", owner_of(record), "--", *argv)


def found_by_owner(record: Record, *argv: str) -> tuple[str, ...]:
    """The same for `find`, which fails where its account may not enter the directory that the shell stands in."""
    return as_owner(record, "env", "--chdir=/", "find", *argv)


def glob_literal(text: str) -> str:
    """A path as a pattern of `find` that means only itself."""
    return "".join("\\" + letter if letter in "\\*?[" else letter for letter in text)


def sed_pattern(text: str) -> str:
    """A path as a basic regular expression that means only itself, between bars; a line end would end the command."""
    return "".join("\\" + letter if letter in "\\.*[]^$|" else letter for letter in text).replace("\n", "\\n")


def sed_replacement(text: str) -> str:
    """A path as what takes its place."""
    return "".join("\\" + letter if letter in "\\&|" else letter for letter in text).replace("\n", "\\n")
