"""The second half of script/lab: `python -m tests.lab up|status|down`."""

from __future__ import annotations

import sys
import time

from tests.lab.engine import Engine, LabFailed, running_engine
from tests.lab.parts import PARTS

IN_USE = "A test run uses the laboratory: it ends together with that run."


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def up() -> int:
    """Build and start everything. It stays until `down`, also when a part fails."""
    engine = Engine()
    engine.kept = True
    before = [part.status(engine) for part in PARTS]
    with running_engine():
        for part, found in zip(PARTS, before, strict=True):
            began = time.monotonic()
            part.up(engine)
            done = "was there" if found == part.status(engine) else f"ready after {time.monotonic() - began:.0f} s"
            say(f"{part.name:<36} {done}")
    return 0


def status() -> int:
    """The table of the parts; exit status 0 whatever it says."""
    engine = Engine()
    shown = {True: "yes", False: "no", None: "–"}
    say(f"{'part':<36} {'built':<6} {'running':<8} address")
    for part in PARTS:
        found = part.status(engine)
        say(f"{part.name:<36} {shown[found.built]:<6} {shown[found.running]:<8} {found.address}".rstrip())
    return 0


def down() -> int:
    """End everything, unless a test run uses it; then that run ends it."""
    engine = Engine()
    engine.kept = False
    if not engine.stop_unless_used(before=lambda: [part.down(engine) for part in reversed(PARTS) if part.down]):
        say(IN_USE)
        return 0
    if left := [*engine.processes(), *engine.mounts()]:
        sys.stderr.write(f"Left of the laboratory: {', '.join(map(str, left))}\n")
        return 1
    say("Nothing of the laboratory runs. What it has built stays in " + str(engine.place))
    return 0


if __name__ == "__main__":
    try:
        sys.exit({"up": up, "status": status, "down": down}[sys.argv[1]]())
    except LabFailed as failure:
        sys.exit(str(failure))
