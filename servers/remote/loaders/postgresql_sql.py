"""SQL for PostgreSQL: names and texts between quotation marks, and the statements that make a database anew."""

import re
from typing import Any, Dict, List, Optional, Tuple

# What a database is apart from what is in it, as one JSON object; the same question for 9.6 to 17.
PROPERTIES = """SELECT json_build_object(
 'owner', pg_catalog.pg_get_userbyid(d.datdba),
 'encoding', pg_catalog.pg_encoding_to_char(d.encoding),
 'collate', d.datcollate, 'ctype', d.datctype,
 'provider', pg_catalog.to_jsonb(d) ->> 'datlocprovider',
 'locale', coalesce(pg_catalog.to_jsonb(d) ->> 'daticulocale', pg_catalog.to_jsonb(d) ->> 'datlocale'),
 'connection_limit', d.datconnlimit,
 'comment', pg_catalog.shobj_description(d.oid, 'pg_database'),
 'settings', (SELECT coalesce(json_agg(json_build_array(
   CASE WHEN s.setrole = 0 THEN NULL ELSE pg_catalog.pg_get_userbyid(s.setrole) END, c)), '[]')
   FROM pg_catalog.pg_db_role_setting s, pg_catalog.unnest(s.setconfig) c WHERE s.setdatabase = d.oid),
 'acl', (SELECT json_agg(json_build_array(
   CASE WHEN a.grantee = 0 THEN NULL ELSE pg_catalog.pg_get_userbyid(a.grantee) END, a.privilege_type, a.is_grantable))
   FROM pg_catalog.aclexplode(d.datacl) a)
) FROM pg_catalog.pg_database d WHERE d.datname = """

# Tables that a dump makes: not those of the system, of extensions, or of a session.
TABLES = """SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend x WHERE x.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
 AND x.objid = c.oid AND x.deptype = 'e');"""

_PRIVILEGES = {"CREATE", "CONNECT", "TEMPORARY"}
_SETTING = re.compile(r"[A-Za-z_][A-Za-z0-9_$.]{0,127}")
_ENCODING = re.compile(r"[A-Za-z0-9_-]{1,40}")
_PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin"}


def name(text: str) -> str:
    """An identifier."""
    return '"{}"'.format(text.replace('"', '""'))


def text(value: str) -> str:
    """A literal, whatever `standard_conforming_strings` is."""
    return "E'{}'".format(value.replace("\\", "\\\\").replace("'", "''"))


def connection(database: str) -> str:
    """A connection string for this database: a bare name with `=` in it would be taken for one."""
    return "dbname='{}'".format(database.replace("\\", "\\\\").replace("'", "\\'"))


def create(database: str, known: Dict[str, Any], version: int) -> str:
    """CREATE DATABASE with what is known of the one that was dumped; the server's own values for the rest."""
    words = ["CREATE DATABASE", name(database), "TEMPLATE template0"]
    encoding = known.get("encoding")
    if isinstance(encoding, str) and _ENCODING.fullmatch(encoding):
        words += ["ENCODING", text(encoding)]
    for key, option in (("collate", "LC_COLLATE"), ("ctype", "LC_CTYPE")):
        if isinstance(known.get(key), str):
            words += [option, text(known[key])]
    provider = _PROVIDERS.get(str(known.get("provider")))
    if provider and version >= 150000:
        words += ["LOCALE_PROVIDER", provider]
        if provider != "libc" and isinstance(known.get("locale"), str):
            words += ["ICU_LOCALE" if provider == "icu" else "BUILTIN_LOCALE", text(known["locale"])]
    if isinstance(known.get("owner"), str):
        words += ["OWNER", name(known["owner"])]
    limit = known.get("connection_limit")
    if isinstance(limit, int) and limit >= 0:
        words += ["CONNECTION LIMIT", str(limit)]
    return " ".join(words) + ";"


def properties(database: str, known: Dict[str, Any]) -> List[Tuple[str, str]]:
    """What comes after the content: (what it is, statements), each to be carried out apart."""
    place = name(database)
    found = []
    if isinstance(known.get("comment"), str):
        found.append(("comment", "COMMENT ON DATABASE {} IS {};".format(place, text(known["comment"]))))
    acl = known.get("acl")
    if isinstance(acl, list):
        found.append(("rights", _rights(place, acl)))
    for role, pair in _pairs(known.get("settings")):
        setting, _, value = pair.partition("=")
        if _SETTING.fullmatch(setting):
            found.append((setting, _setting(place, role, setting, value)))
    return found


def _setting(place: str, role: Optional[str], setting: str, value: str) -> str:
    """Lists have a spelling of their own: the server is given the value as it stored it, then keeps it."""
    whose = "DATABASE {}".format(place) if role is None else "ROLE {} IN DATABASE {}".format(name(role), place)
    quoted = ".".join(name(part) for part in setting.split("."))
    return "BEGIN;\nSELECT pg_catalog.set_config({}, {}, false);\nALTER {} SET {} FROM CURRENT;\nCOMMIT;".format(
        text(setting), text(value), whose, quoted
    )


def _rights(place: str, acl: List[Any]) -> str:
    lines = ["BEGIN;", "REVOKE ALL ON DATABASE {} FROM PUBLIC;".format(place)]
    for row in acl:
        if isinstance(row, list) and len(row) == 3 and row[1] in _PRIVILEGES:
            whom = "PUBLIC" if row[0] is None else name(str(row[0]))
            more = " WITH GRANT OPTION" if row[2] is True and row[0] is not None else ""
            lines.append("GRANT {} ON DATABASE {} TO {}{};".format(row[1], place, whom, more))
    return "\n".join([*lines, "COMMIT;"])


def _pairs(value: Any) -> List[Tuple[Optional[str], str]]:
    rows = value if isinstance(value, list) else []
    right = [row for row in rows if isinstance(row, list) and len(row) == 2 and isinstance(row[1], str)]
    return [(row[0] if isinstance(row[0], str) else None, row[1]) for row in right]


def swap(old: str, aside: str, new: str) -> str:
    """The new database takes the name of the old one, or nothing happens; who is in the old one is sent away."""
    return "\n".join(
        [
            "BEGIN;",
            "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE datname = {};".format(
                text(old)
            ),
            "ALTER DATABASE {} RENAME TO {};".format(name(old), name(aside)),
            "ALTER DATABASE {} RENAME TO {};".format(name(new), name(old)),
            "COMMIT;",
        ]
    )
