"""The actions of a restore: one step after the other with its undo written first, all of it undone, or forgotten."""

import json
import os
from contextlib import suppress
from typing import Any, Dict, List, Optional, Tuple

from .. import places, validate, wire
from . import containers, exchanging, keeping, mounting
from .engine import Engine
from .journal import Journal, Record
from .steps import Context, Problem, kind_of

_MOST_STEPS = 100000
# Without an engine that answers no container runs on what these put in place.
_WITHOUT_ENGINE = ("exchange", "rewrite_files", "need_image", "healthy")
# While the undo of one of these fails a container may run on what was put in place before it: that stays.
_HOLD = ("start", "create_container", "compose_up")
Table = Dict[str, Any]


def begin(token: str, socket: str = "") -> Table:
    """A journal for this restore into the engine at this socket. Raises Refused when there is one."""
    Journal(token).make(socket)
    return {"begun": True}


def do(engine: Engine, token: str, request: wire.Request, control: wire.Control) -> Table:
    """One step. One that was carried out under its number is not carried out again, a part of one is undone first."""
    number = validate.number(request.args.get("number"), "number", 0, _MOST_STEPS)
    op, params = _asked(request)
    with Journal(token) as journal:
        if journal.socket not in ("", engine.path):
            raise wire.Refused("invalid", "this restore is into the engine at {}".format(journal.socket))
        record = journal.record(number)
        if record is not None and record.op != op:
            raise wire.Refused("invalid", "step {} is another one: {}".format(number, record.op))
        if record is not None and record.facts is not None:
            return {"done": record.facts}
        if record is not None:
            _undo(engine, record)
            journal.undone(number)
        context = Context(engine, token, control, request, journal.records(), number)
        step = kind_of(op)(context, params)
        journal.begin(number, op, step.prepare())
        control.check()
        facts = step.apply(lambda more: journal.note(number, more))
        journal.done(number, facts)
    return {"done": facts}


def _asked(request: wire.Request) -> Any:
    """(kind, parameters). Those that are secret come as JSON among the secrets, and are never written down."""
    step = request.args.get("step")
    if not isinstance(step, dict):
        raise wire.Refused("invalid", "the request has no step")
    params = step.get("params") or {}
    more = secret_params(request)
    if not isinstance(params, dict):
        raise wire.Refused("invalid", "the parameters of a step are a table")
    return validate.text(step.get("op"), "op", limit=64), dict(params, **more)


def secret_params(request: wire.Request) -> Table:
    """What came as JSON among the secrets; {} for nothing. Raises Refused."""
    text = request.secrets.get("params")
    return {} if text is None else _table(validate.text(text, "params", limit=wire.REQUEST_LIMIT))


def _table(text: str) -> Table:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise wire.Refused("invalid", "the secret parameters of a step are a table as JSON")
    return found


def _undo(engine: Optional[Engine], record: Record) -> Optional[str]:
    if engine is None and record.op not in _WITHOUT_ENGINE:
        raise Problem("the engine does not answer")
    return kind_of(record.op).undo(engine, record)  # type: ignore[arg-type]


def rollback(socket: str, token: str) -> Table:
    """Undo everything, the last first. Nothing interrupts it; what could not be undone is tried again the next time.

    `socket` is where nobody wrote down which engine it was: another one would have nothing of it, and all seem undone.
    """
    journal = Journal(token)
    if not journal.exists:
        return {"undone": [], "problems": [], "notes": []}
    engine, problem = _engine(journal.socket or socket)
    answer: Dict[str, List[Any]] = {"undone": [], "problems": [problem] if problem else [], "notes": []}
    with journal:
        records = journal.records()
        held, left = "", []  # type: str, List[Record]
        for record in reversed([one for one in records if not one.undone]):
            row = {"number": record.number, "op": record.op}
            if held:
                answer["problems"].append("step {} waits: {}".format(record.number, held))
                continue
            if any(mounting.is_for(one, record) for one in left):
                mounting.let_go(engine, record)
                continue
            try:
                remark = _undo(engine, record)
            except Exception as error:  # whatever it is, what was done before it is undone
                words = _words(error)
                answer["problems"].append("step {} ({}): {}".format(record.number, record.op, words))
                held = words if record.op in _HOLD else ""
                left.append(record)
                continue
            # On a full disk it is not written down and is done once more the next time, which harms nothing.
            with suppress(OSError):
                journal.undone(record.number)
            answer["undone"].append(row)
            answer["notes"] += [remark] if remark else []
        if not answer["problems"]:
            notes, answer["problems"] = _clean(records)
            answer["notes"] += notes
            if not answer["problems"]:
                journal.remove()
    return answer


def _words(error: Exception) -> str:
    if isinstance(error, wire.Refused):
        return error.message
    return str(error) if isinstance(error, (Problem, OSError)) else "{}: {}".format(type(error).__name__, error)


def _engine(socket: str) -> Any:
    """(engine, problem); an engine that is away keeps nobody from putting files back."""
    try:
        return Engine(socket), None
    except wire.Refused as refusal:
        return None, refusal.message


def _clean(records: List[Record]) -> Tuple[List[str], List[str]]:
    """What was extracted and is not in place any more; directories that were made on the way. (remarks, problems)"""
    quiet = wire.Control(0)  # it listens to nobody
    remarks, problems = [], []
    for record in reversed([one for one in records if one.op == "exchange"]):
        try:
            remarks.append(exchanging.finish_undo(record, quiet))
        except Exception as error:
            problems.append("step {} ({}): {}".format(record.number, record.op, _words(error)))
    return list(dict.fromkeys(remark for remark in remarks if remark)), problems


def forget(socket: str, token: str, control: wire.Control) -> Table:
    """Remove what was kept aside, and the journal. What cannot be removed is told, and tried the next time."""
    journal = Journal(token)
    if not journal.exists:
        return {"removed": [], "problems": []}
    engine, problem = _engine(journal.socket or socket)
    removed: List[str] = []
    problems: List[str] = []
    with journal:
        for record in journal.records():
            if record.undone:
                continue
            try:
                told = _forget(engine, record, control, problem)
            except Exception as error:
                told = _words(error)
            if record.op in ("exchange", "rename_container"):
                (problems if told else removed).append(told or _shown(record))
        if not problems:
            journal.remove()
    return {"removed": removed, "problems": problems}


def _forget(engine: Optional[Engine], record: Record, control: wire.Control, problem: Optional[str]) -> Optional[str]:
    if record.op == "exchange":
        return exchanging.forget(engine, record, control)
    if record.op == "rename_container":
        return problem if engine is None else containers.forget(engine, record)
    return None


def _shown(record: Record) -> str:
    if record.op == "rename_container":
        return str(record.undo["to"])
    return wire.shown(os.path.join(wire.raw(record.undo["above"]), keeping.name_of(record.undo["token"])))


def state(token: str) -> Table:
    """{"exists", "steps": [{"number", "op", "done", "undone"}], "kept_bytes"}"""
    journal = Journal(token)
    records = journal.records() if journal.exists else []
    now = [one for one in records if not one.undone]
    outside = [one.undo for one in now if one.op == "exchange" and not one.undo.get("held")]
    above = {undo["above"]: undo.get("keep") for undo in outside}
    # In volumes that are mounted only while somebody uses them it was counted when they were let go.
    inside = [(one.facts or {}).get("kept_bytes") for one in now if one.op == mounting.RELEASE]
    return {
        "exists": journal.exists,
        "steps": [{"number": one.number, "op": one.op, "done": one.done, "undone": one.undone} for one in records],
        "kept_bytes": sum(keeping.size(wire.raw(path), token, above[path]) for path in sorted(above))
        + sum(filter(None, inside)),
    }


def all_of_them() -> List[str]:
    """Tokens of all restores that have a journal here."""
    try:
        return sorted(os.listdir(places.DOCKER_RESTORE))
    except FileNotFoundError:
        return []
