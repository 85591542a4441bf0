"""How full filesystems are, asked so that one which does not answer (its server is gone) holds up nobody."""

import json
import os
import re
import select
import signal
import time
from functools import partial
from typing import Any, Dict, List, Sequence, Tuple

from . import apart, wire

ANSWER_SECONDS = 2.0
_ROUNDS = 3
_AT_ONCE = 32
# Those that may hang are asked in processes of their own, all others in one.
_FAR = re.compile(r"(nfs|cifs|smb|fuse|ceph|9p|afs|gluster|lustre|beegfs|ocfs|gfs|orangefs|coda|autofs)")
_UNKNOWN: Dict[str, Any] = {
    "size_bytes": None,
    "used_bytes": None,
    "available_bytes": None,
    "inodes": None,
    "inodes_free": None,
}


def measure(mounts: Sequence[Tuple[str, str]], seconds: float = ANSWER_SECONDS) -> Dict[str, Dict[str, Any]]:
    """For each (mount point, type): size_bytes, used_bytes, available_bytes, inodes, inodes_free and problem.

    Takes at most about three times `seconds`. A filesystem that does not count inodes has None there.
    """
    near = [target for target, kind in mounts if not _FAR.match(kind)]
    groups = [*_split([target for target, kind in mounts if _FAR.match(kind)]), near]
    found = {target: dict(_UNKNOWN, problem="there was no time to ask it") for target, _ in mounts}
    for _ in range(_ROUNDS):
        groups = [group for group in groups if group]
        rest: List[str] = []
        for number, answers in enumerate(_round(groups, seconds)):
            asked, unasked = groups[number][: len(answers)], groups[number][len(answers) :]
            found.update({target: answers[place] for place, target in enumerate(asked)})
            if unasked:
                found[unasked[0]]["problem"] = "it did not answer within {:g} s".format(seconds)
                rest += unasked[1:]
        groups = _split(rest)
    return found


def _split(targets: List[str]) -> List[List[str]]:
    return [targets[number::_AT_ONCE] for number in range(min(_AT_ONCE, len(targets)))]


def _round(groups: List[List[str]], seconds: float) -> List[List[Dict[str, Any]]]:
    """For each group the answers that came in time; they come in the group's order."""
    started = [apart.start(partial(_answer, group)) for group in groups]
    heard = {pipe: bytearray() for _, pipe in started}
    open_ones = set(heard)
    deadline = time.monotonic() + seconds
    while open_ones and time.monotonic() < deadline:
        for pipe in select.select(list(open_ones), [], [], max(0.0, deadline - time.monotonic()))[0]:
            chunk = os.read(pipe, 1 << 16)
            heard[pipe] += chunk
            if not chunk:
                open_ones.discard(pipe)
    for pid, pipe in started:
        os.close(pipe)
        os.kill(pid, signal.SIGKILL)
        # One that hangs may not end even now; it is collected by whoever gets it after us.
        os.waitpid(pid, os.WNOHANG if pipe in open_ones else 0)
    return [[json.loads(line) for line in bytes(heard[pipe]).decode().split("\n")[:-1]] for _, pipe in started]


def _answer(targets: List[str], pipe: int) -> None:
    for target in targets:
        apart.write_all(pipe, json.dumps(_one(target)).encode() + b"\n")


def _one(target: str) -> Dict[str, Any]:
    try:
        space = os.statvfs(wire.raw(target))
    except OSError as error:
        return dict(_UNKNOWN, problem=error.strerror or str(error))
    return {
        "size_bytes": space.f_blocks * space.f_frsize,
        "used_bytes": (space.f_blocks - space.f_bfree) * space.f_frsize,
        "available_bytes": space.f_bavail * space.f_frsize,
        "inodes": space.f_files or None,
        "inodes_free": space.f_ffree if space.f_files else None,
        "problem": None,
    }
