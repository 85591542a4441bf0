"""What a server says of a problem, in the reader's language.

The helper on a server knows no languages: it answers in English, and so it is recorded. A sentence of its own is
known here and is shown translated; what a database or a tool said itself stays as it was said.
"""

from __future__ import annotations

import re
from functools import lru_cache

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

# Written as the helper writes them, which a test holds to its source. {0}, {1}: what differs each time.
SAYINGS = (
    # Any probe.
    _("it did not answer within {0} s"),
    _("it ended without an answer"),
    _("it could not be counted in time"),
    _("no answer within {0} s"),
    _("there was no time to ask it"),
    _("{0} is not installed"),
    _("{0} is not run as root: another account can change it"),
    _("exit status {0}"),
    _("it ended with exit status {0}"),
    # Database servers.
    _("it is not known where it listens"),
    _("it is down: start it to have its databases listed"),
    _("it runs in a container: it is not asked from outside"),
    _("it wants a login: give one for it"),
    _("it refuses the login that was given"),
    _("it does not answer within {0} s: look whether its process hangs"),
    _("it ended the connection"),
    _("its account has no name on this machine"),
    _("its process is not visible from here: it is not asked"),
    _("its answer is too long"),
    _("it listens on no unix socket: give a login for it"),
    _("it is shown no login: who answers there is no account of PostgreSQL"),
    _("psql is not installed: install the PostgreSQL client"),
    _("no client is installed: install mariadb-client or mysql-client"),
    _("the server does not know the password"),
    _("the server's part of the sign-in is not right"),
    _("the server refused"),
    _("it does not speak MongoDB's protocol"),
    _("it does not speak MongoDB's protocol: {0}"),
    _("it does not speak MySQL's protocol"),
    _("it does not speak Redis's protocol"),
    _("it does not speak HTTP on port {0}"),
    _("this is not a node"),
    _("{0}: give a password for it"),
    # Storage, Docker, borg.
    _("btrfs filesystem show failed: {0}"),
    _("btrfs subvolume list {0} failed: {1}"),
    _("a device of a btrfs filesystem is missing"),
    _("zfs list failed: {0}"),
    _("other engines run here too, which were not asked: {0}"),
    _("no socket of a Docker engine was found: it is not running"),
    _("{0} answers {1} with something else than JSON"),
    _("{0} is not understood: {1}"),
    _("it is no table"),
    _("it has too many lines"),
    _("its indentation is not understood"),
    _("it is nested too deeply"),
    _("a line is not understood"),
    _("a bracket is not closed"),
    _("something follows a bracket"),
    _("a list is not understood"),
    _("a table is not understood"),
    _("borg is not installed"),
    _("borg does not say its version"),
)


@lru_cache(maxsize=1)
def _known() -> tuple[tuple[re.Pattern[str], str], ...]:
    """Each saying with what recognises it; those without a gap first, then those that say most themselves."""
    ordered = sorted(SAYINGS, key=lambda one: ("{" in one, -len(one)))
    return tuple((re.compile(re.sub(r"\\{\d\\}", "(.+)", re.escape(one)), re.DOTALL), one) for one in ordered)


def shown(problem: str | None) -> str:
    """A server's sentence for the reader: translated where it is one of ours, else as it was said; empty for None.

    Sentences joined by “; ” are each looked up; within one, what fills a gap is looked up too.
    """
    if not problem:
        return ""
    for recognise, saying in _known():
        if match := recognise.fullmatch(problem):
            return gettext(saying).format(*(shown(group) for group in match.groups()))
    parts = problem.split("; ")
    return "; ".join(map(shown, parts)) if len(parts) > 1 else problem
