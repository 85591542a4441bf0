"""Does a login see all of a database? What it does not see, a dump leaves out without a word and ends well.

Tables and triggers without any right on them are simply not listed, nor are routines. What lacks a right that is
told with an error (views, events, the text of a routine) fails by itself and is not asked for here.
"""

import re
from typing import Iterable, List, Set

_NAMED = r"(\*|`(?:[^`]|``)*`)"
# Rights on columns and on single routines have other forms: none of them shows a whole database.
_LINE = re.compile(r"(GRANT|REVOKE) ([A-Za-z_, ]+) ON {0}\.{0} (?:TO|FROM) ".format(_NAMED))
_EVERYTHING = {"ALL PRIVILEGES", "ALL"}
_ROUTINES = ("EXECUTE", "ALTER ROUTINE", "CREATE ROUTINE", "SHOW CREATE ROUTINE", "SHOW_ROUTINE")


def unseen(grants: Iterable[str], database: str, flavour: str) -> List[str]:
    """The rights that are missing, by what SHOW GRANTS says (roles that are active included); [] when all is seen."""
    here: Set[str] = set()
    on_routines: Set[str] = set()
    taken: Set[str] = set()
    for match in filter(None, map(_LINE.match, grants)):
        verb, names, schema, table = match.groups()
        words = {name.strip().upper() for name in names.split(",")}
        reaches = table == "*" and (schema == "*" or _fits(schema, database))
        if verb == "REVOKE":
            # Of one database, out of what is given on all of them.
            taken |= words if reaches else set()
            continue
        here |= words if reaches else set()
        # Who reads the table of all routines sees all of them; MySQL 8 has no such table.
        if schema == "*" or (flavour == "mariadb" and schema == "`mysql`" and table in ("*", "`proc`")):
            on_routines |= words
    missing = [name for name in ("SELECT", "TRIGGER") if not _has(here, taken, name)]
    routines = _has(on_routines, taken, "SELECT") or any(_has(here, taken, name) for name in _ROUTINES)
    return missing if routines else [*missing, "EXECUTE"]


def _has(given: Set[str], taken: Set[str], name: str) -> bool:
    return name not in taken and (name in given or bool(given & _EVERYTHING))


def _fits(pattern: str, database: str) -> bool:
    """A database in a grant is a pattern: `_` is any letter, `%` any text, a backslash takes the next one as it is."""
    text = pattern[1:-1].replace("``", "`")
    pieces = re.findall(r"\\.|.", text, re.DOTALL)
    wild = {"_": ".", "%": ".*"}
    expression = "".join(wild.get(piece) or re.escape(piece[-1]) for piece in pieces)
    return re.fullmatch(expression, database, re.DOTALL) is not None
