"""A plan as a bash script: the same steps in the same order. It holds no secret and asks for the passphrase.

`simple` is short; `advanced` undoes everything when it fails, logs, and can be run dry. Both carry bodies.py and
filling.py, so what the engine is asked for is what the worker asks for. Every name is quoted; bytes that are no text
are written as \\xNN.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from django.utils.translation import gettext as _

from dockerops.errors import PlanTooOld
from dockerops.options import Options
from dockerops.plan import BEFORE, DockerPlan, Step
from servers.remote.dockers.patience import STEADY_SECONDS, STOP_SECONDS

FORMS = ("simple", "advanced")
SHARED = ("common.sh", "projects.sh", "files.sh", "rewrite.sh", "dumps.sh")
_HERE = Path(__file__).parent / "scripts"
_EDITS = Path(__file__).parents[1] / "servers/remote/dockers/edits.py"
_BODIES = Path(__file__).parents[1] / "servers/remote/dockers/bodies.py"
_FUNCTION = re.compile(
    r"^(?:# [^\n]*\n)*([a-z_]+)\(\) \{\n.*?^\}\n|^(?:# [^\n]*\n)*([a-z_]+)\(\) \{[^\n]*\}\n", re.M | re.S
)
# Notes that are about the worker: a script keeps nothing for a while.
_OTHERWISE = ("kept_hours", "archived", "not_archived", "dropped")
# Of plans that do not say how long Compose has.
_SECONDS = Options.wait_minutes * 60
# Letters that a reader, or shellcheck, could take for what they are not.
_TAKEN_WRONG = "$`‘’‚“”„"
_TYPEWRITER = str.maketrans("‘’‚“”„", "'''\"\"\"")
# Bytes are bytes, and every program says the same everywhere.
_ALWAYS = ("set -euo pipefail", "umask 022", "export LC_ALL=C")
_LOOK = 'if sys.argv[1] == "look":\n    look(sys.argv[1:], restored)\n'
_ASK = "else:\n    main(sys.argv[1:], from_inspect, rewrite, fill, restored)\n"
_RUN_EDITS = "sys.exit(change(sys.argv[1:], restored, check, rewrite))\n"


def script(plan: DockerPlan, form: str = "simple") -> str:
    """The script's text, without any secret. Every byte of it is UTF-8. Raises PlanTooOld."""
    if plan.manifest and not plan.manifest_sha256:
        raise PlanTooOld()
    advanced = form == "advanced"
    calls = [(step, _call(step)) for step in plan.steps]
    main = "\n".join(_main(plan, calls, advanced))
    needed = _needed(main, [(_HERE / name).read_text() for name in (*SHARED, f"{form}.sh")])
    body = "\n".join((*needed, main))
    # What is done comes first; what it is made of can be read after it.
    parts = [_header(plan, form), _settings(plan, advanced, body), main, *needed]
    if re.search(r"\bPYTHON_CODE\b", body):
        parts.append(_data("PYTHON_CODE", "PHPBORG_PYTHON", _python(body)))
    if re.search(r"\bPYTHON_EDITS\b", body):
        parts.append(_data("PYTHON_EDITS", "PHPBORG_EDITS", _editing_python()))
    return "\n".join([*parts, _data("PLAN", "PHPBORG_PLAN", plan.canonical), 'main "$@"\n'])


def quoted(text: str) -> str:
    """As one word of bash, whatever is in it."""
    if all(letter.isprintable() and letter not in _TAKEN_WRONG for letter in text):
        return shlex.quote(text)
    raw = text.encode("utf-8", "surrogateescape")
    plain = (chr(byte) if 32 <= byte < 127 and byte not in b"'\\" else f"\\x{byte:02x}" for byte in raw)
    # Each escape ends after two digits, also before a letter that is a digit.
    return "$'" + "".join(plain) + "'"


def _spoken(text: str) -> str:
    """A sentence as one word of bash that people can read."""
    plain = _comment(text).translate(_TYPEWRITER)
    return '"' + re.sub(r'([\\"$`])', r"\\\1", plain) + '"'


def _comment(text: str) -> str:
    """As the rest of a line after `#`."""
    return "".join(letter if letter.isprintable() or letter == "\u00a0" else "?" for letter in text)


def _header(plan: DockerPlan, form: str) -> str:
    lines = (
        _("Puts Docker contents of the archive {archive} back on {server}.").format(
            archive=plan.archive_name, server=plan.server_name
        ),
        _("It holds no secret and asks for the passphrase of the repository. Run it as root on the server."),
        *(note.sentence for note in plan.notes if note.code not in _OTHERWISE),
        _("What is replaced is kept beside it; at its end the script says where.")
        if plan.protect != "none"
        else _("What is replaced is removed when everything is back."),
        _("When a step fails, everything before it is undone. Try it first with --dry-run.")
        if form == "advanced"
        else _("This short form undoes nothing by itself; the advanced one does."),
    )
    words = "".join(f"# {_comment(line)}\n" for line in lines)
    return f"#!/usr/bin/env bash\n{words}#\n# Plan: {plan.hash}\n# Form: {form}\n"


def _settings(plan: DockerPlan, advanced: bool, body: str) -> str:
    """What the functions read, as far as they do."""
    names = {
        "PLAN_HASH": plan.hash,
        "SOCKET": plan.socket,
        "REPOSITORY": plan.repository,
        "ARCHIVE": plan.archive_name,
        "ARCHIVE_ID": plan.archive_id,
        "MANIFEST_PATH": plan.manifest,
        "MANIFEST_SUM": plan.manifest_sha256,
        "PROTECT": plan.protect,
        "STOP_SECONDS": str(STOP_SECONDS),
        "STEADY_SECONDS": str(STEADY_SECONDS),
        "STAGING": f".phpborg-restore-{plan.token}",
        "KEPT": f".phpborg-kept-{plan.token[:8]}",
        "HOLDER": f"phpborg-holder:{plan.token[:8]}",
    }
    words = {name: f"readonly {name}={quoted(value)}" for name, value in names.items()}
    words |= {name: f"declare -A {name}=()" for name in ("STOPPED_POLICY", "KEPT_PLACES", "PLACES", "HELD_AT", "MADE")}
    words |= {name: f"{name}=()" for name in ("KEPT_CONTAINERS", "STAGINGS", "HELD")}
    if advanced:
        words |= {"UNDO": "UNDO=()", "DRY_RUN": "DRY_RUN=no", "AGREED": "AGREED=no", "FINISHED": "FINISHED=no"}
        words |= {"STEP": "STEP=0", "LOG": "LOG="}
    used = set(re.findall(r"[A-Z_]+", body))
    return "\n".join((*_ALWAYS, *(line for name, line in words.items() if name in used))) + "\n"


def _main(plan: DockerPlan, calls: list[tuple[Step, str]], advanced: bool) -> Iterator[str]:
    yield "main() {"
    if advanced:
        yield '    read_options "$@"'
        yield "    trap ended EXIT\n    trap interrupted INT TERM HUP"
    else:
        yield "    trap stopped_early EXIT"
    yield "    check_plan"
    yield from _checks(plan, advanced)
    looked = False
    for step, call in calls:
        sentence = _comment(step.sentence)
        if step.op not in BEFORE and not looked:
            looked = True
            yield '    [ "$DRY_RUN" = yes ] || look again' if advanced else "\n    look again"
        if advanced:
            yield f"    step {step.number} {_spoken(step.sentence)} {call}"
        else:
            yield f"\n    # {step.number}. {sentence}\n    {call}"
    if advanced:
        yield '    FINISHED=yes\n    [ "$DRY_RUN" = yes ] || finish'
    else:
        yield "\n    trap - EXIT\n    finish"
    yield "}\n"


def _checks(plan: DockerPlan, advanced: bool) -> list[str]:
    """What happens before the first step; a dry run needs no repository."""
    creates = plan.manifest and any(step.op.startswith("create_") for step in plan.steps)
    loaded = [quoted(str(step.params["container"])) for step in plan.steps if step.op == "load_dump"]
    refused = [f"refuse_dumps {' '.join(loaded)}"] if loaded else []
    checks = [*refused, "check_tools", "look first", "ask_passphrase", *(["read_manifest"] if creates else [])]
    if not advanced:
        return [f"    {check}" for check in checks]
    return ['    if [ "$DRY_RUN" != yes ]; then', *(f"        {check}" for check in (*checks, "agree")), "    fi"]


def _call(step: Step) -> str:
    """The function of a step with its words."""
    params = step.params
    words = _WORDS[step.op](step, params)
    call = " ".join(quoted("" if word is None else str(word)) for word in words)
    return f"or_tell {call}" if step.is_of_others else call


def _exchange(step: Step, params: dict[str, object]) -> list[object]:
    three = [params["target"], params["stage"], params["source"]]
    items = params["items"]
    if isinstance(items, list | tuple):
        return ["exchange_items", *three, *items]
    return ["exchange_whole" if params["whole"] else "exchange_entries", *three]


def _listed(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else []


_WORDS: dict[str, Callable[[Step, dict[str, Any]], list[Any]]] = {
    "need_image": lambda step, params: ["need_image", params["reference"], params["id"]],
    "load_image": lambda step, params: [
        "load_image", params["reference"], params["id"], params["stream"], *_listed(params["images"]),
    ],
    "pull_image": lambda step, params: ["pull_image", params["reference"], params["id"], params["tag"]],
    "create_network": lambda step, params: ["create_network", step.number, params["name"]],
    "create_volume": lambda step, params: ["create_volume", step.number, params["name"]],
    "create_container": lambda step, params: ["create_container", step.number, params["name"]],
    "extract": lambda step, params: ["extract", params["directory"], *_listed(params["sources"])],
    "hold_volume": lambda step, params: ["hold_volume", params["volume"], params["path"]],
    "release_volume": lambda step, params: ["release_volume", params["volume"]],
    "stop_container": lambda step, params: ["stop_container", params["container"], params["seconds"]],
    "archive_former": lambda step, params: ["archive_former", params["archive"], *_listed(params["paths"])],
    "rename_container": lambda step, params: ["rename_container", params["container"], params["to"]],
    "disconnect": lambda step, params: ["disconnect", params["network"], params["container"]],
    "exchange": _exchange,
    "rewrite_files": lambda step, params: [
        "rewrite_files", step.number, *sorted({row["stage"] for row in params["files"]}),
    ],
    "start": lambda step, params: ["start_container", params["container"], params["state"]],
    "healthy": lambda step, params: ["healthy", params["container"], params["seconds"]],
    "load_dump": lambda step, params: ["load_dump", params["container"]],
    "compose_up": lambda step, params: [
        "compose_up", params["project"], params.get("seconds", _SECONDS), params["working_dir"],
        *_listed(params["files"]), "--", *_listed(params["env_files"]),
    ],
}  # fmt: skip


def _functions(texts: Iterable[str]) -> dict[str, str]:
    """{name: text with its comment}, in the order of the files."""
    found = {}
    for text in texts:
        for match in _FUNCTION.finditer(text):
            found[match[1] or match[2]] = match[0]
    return found


def _needed(main: str, texts: list[str]) -> list[str]:
    """The functions that are used, in the order of the files."""
    known = _functions(texts)
    wanted: set[str] = set()
    waiting = [main]
    while waiting:
        words = set(re.findall(r"[a-z_]+", waiting.pop()))
        for name in sorted(words & set(known) - wanted):
            wanted.add(name)
            waiting.append(known[name])
    return [text for name, text in known.items() if name in wanted]


def _python(body: str) -> str:
    """What the functions of a script need of it."""
    asks = re.search(r"\bPYTHON_CODE\" (ask|reconnect)\b", body)
    paths = [_HERE / "texts.py", _HERE / "looking.py"]
    paths += [_BODIES, _HERE / "filling.py", _HERE / "asking.py"] if asks else []
    return "\n".join(path.read_text() for path in paths) + "\n" + _LOOK + (_ASK if asks else "")


def _editing_python() -> str:
    texts = (_HERE / "texts.py", _EDITS, _HERE / "changing.py")
    return "\n".join(path.read_text() for path in texts) + "\n" + _RUN_EDITS


def _data(name: str, mark: str, text: str) -> str:
    return f"{name}=$(\n    cat <<'{mark}'\n{text.rstrip()}\n{mark}\n)\nreadonly {name}\n"
