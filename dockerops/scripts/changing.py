"""How a script of a restore changes Compose files; for any Python from 3.6 on.

The script carries this file after texts.py and edits.py. Standard input: the plan in one line.
"""

import json
import os
import sys
from typing import Any, Callable, Dict, List


def change(
    argv: List[str],
    restored: Callable[[Any], Any],
    check: Callable[[Dict[str, Any], int], None],
    rewrite: Callable[[Dict[str, Any], int], None],
) -> int:
    """NUMBER STAGE DIRECTORY: the edits of that step in what was extracted there; 1 when it was not possible."""
    plan = restored(json.loads(sys.stdin.read()))
    stage, place = (os.fsencode(word).decode("utf-8", "surrogateescape") for word in argv[1:])
    step = next(one for one in plan["steps"] if one["number"] == int(argv[0]))
    rows = [
        dict(row, source=row["source"].encode("utf-8", "surrogateescape"))
        for row in step["params"]["files"]
        if row["stage"] == stage
    ]
    try:
        root = os.open(place.encode("utf-8", "surrogateescape"), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        for do in (check, rewrite):
            for row in rows:
                do(row, root)
    except Exception as error:
        sys.stderr.write("A file cannot be rewritten: {}\n".format(error))
        return 1
    return 0
