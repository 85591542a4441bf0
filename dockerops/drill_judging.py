"""What a failure in a drill says of the archive. Only damage and wrong content disprove it; all else leaves it open.

A drill has no internet, no other projects, less time and another machine's load: an application that does not come up
for such a reason came out of a good archive.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from dockerops.manifest import Container
from dockerops.planning import is_unwell

# Words of databases and their tools for data that is not what it was.
_DAMAGE = re.compile(
    r"\bPANIC\b|WT_PANIC|corrupted|is corrupt\b|corruption detected"
    r"|checksum (mismatch|error|failed|verification failed)"
    r"|invalid page|could not read block|could not locate .{0,40}checkpoint|invalid checkpoint record|marked as crashed"
    r"|tablespace .{0,80}(is missing|cannot be found|does not exist)|unexpected data beyond EOF|missing chunk number",
    re.IGNORECASE | re.DOTALL,
)
# The helper's words for time that ran out (servers/remote/dockers/starting.py, engine.py).
_LATE = re.compile(r"is not healthy after|does not keep running|was not told|timed out|does not answer", re.IGNORECASE)
# Somebody outside of the drill is needed.
_OUTSIDE = re.compile(
    r"name resolution|could not resolve|name or service not known|no such host|getaddrinfo|ENOTFOUND|EAI_AGAIN"
    r"|network is unreachable|no route to host|connection refused|ECONNREFUSED|unknown host|bad address",
    re.IGNORECASE,
)
# Nobody got as far as reading.
_NOT_LET_IN = re.compile(
    r"access denied|authentication failed|authentication required|requires authentication|no password supplied"
    r"|unauthorized|has none of|has no client|with the password cannot be read|permission denied for"
    r"|role \"[^\"]*\" does not exist|no pg_hba.conf entry",
    re.IGNORECASE,
)


def was_unwell(one: Container | None) -> bool:
    """Did it not run well when it was backed up either?"""
    return one is not None and is_unwell(one)


def has_done_its_work(one: Container, state: str, code: object) -> bool:
    """Was it made to end, and has it ended well?"""
    return state == "exited" and code == 0 and one.restart.partition(":")[0] in ("", "no", "on-failure")


def start_disproves(one: Container | None, words: str, log: Iterable[str] = (), *, is_late: bool = False) -> bool:
    """A container did not reach its state: is that the archive's fault? `log`: its last lines; `is_late`: it runs."""
    whole = "\n".join([words, *log])
    if _DAMAGE.search(whole):
        return True
    return not (is_late or was_unwell(one) or _LATE.search(words) or _OUTSIDE.search(whole))


def reading_disproves(words: str) -> bool:
    """A database was not read whole: is that the archive's fault?"""
    return bool(_DAMAGE.search(words)) or not (_NOT_LET_IN.search(words) or _LATE.search(words))
