"""Where a restore keeps what it extracts and what it has replaced: beside it, or inside where that cannot be renamed.

None of it is content of what is backed up.
"""

from __future__ import annotations

import re

_HEX = "[0-9a-f]{16}"


def of_restores() -> tuple[str, ...]:
    """Patterns for those of all restores, by the worker and by a script, wherever they lie."""
    return (_pattern(f"restore-{_HEX}|{_HEX}|kept-[0-9a-f]{{8}}"),)


def of_restore(token: str) -> tuple[str, ...]:
    """Patterns for those of one restore."""
    whole, short = re.escape(token), re.escape(token[:8])
    return (_pattern(f"restore-{whole}|{whole}|kept-{short}"),)


def _pattern(names: str) -> str:
    return rf"re:(^|/)\.phpborg-({names})(/|$)"
