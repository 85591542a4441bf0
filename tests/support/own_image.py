"""Docker images made of this machine's own packages in seconds: no registry, no second root system.

An image holds the named programs and directories, the libraries that they need, and the few files that any program
asks for. It stands for the official image of the same server: same binaries, another packing.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path

from tests.lab.engine import DOCKER, Engine

ROOT = Path(__file__).parents[2]
_LIBRARY = re.compile(rb"(?:=> )?(/[^\s]+) \(0x")
_ALWAYS = ("/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/usr/lib/locale/C.utf8")


def libraries(files: Iterable[Path]) -> set[str]:
    """What the dynamic linker loads for these, as paths."""
    said = subprocess.run(["ldd", *map(str, files)], capture_output=True, check=False).stdout
    return {os.fsdecode(path) for path in _LIBRARY.findall(said)}


def _programs(path: Path) -> list[Path]:
    found = path.rglob("*") if path.is_dir() else [path]
    return [one for one in found if one.is_file() and one.open("rb").read(4) == b"\x7fELF"]


def build(
    engine: Engine, name: str, *paths: str, leave_out: Iterable[str] = (), moved: tuple[str, str] | None = None
) -> str:
    """Make the image `name` of these paths of the machine, unless it is there; answers its tag.

    `moved`: what is here below the first path is in the image below the second.
    """
    leave_out = tuple(leave_out)
    files = [binary for path in paths for binary in _programs(Path(path))]
    # Nor what only these need.
    files = [one for one in files if not any(fnmatch(str(one), pattern) for pattern in leave_out)]
    wanted = [*paths, *(path for path in _ALWAYS if Path(path).exists()), *sorted(libraries(files))]
    # What is named twice would be a link to itself.
    wanted = [path for path in dict.fromkeys(wanted) if not any(path.startswith(f"{other}/") for other in paths)]
    stamp = "\n".join(f"{path} {os.stat(path).st_mtime_ns}" for path in wanted)
    tag = f"{name}-{hashlib.sha256(stamp.encode()).hexdigest()[:10]}"
    if engine.docker("image", "inspect", tag, check=False).returncode != 0:
        left_out = [f"--exclude={pattern}" for pattern in leave_out]
        if moved is not None:
            left_out.append(f"--transform=s,^{moved[0]},{moved[1]},")
        pack = subprocess.Popen(
            ["tar", "--create", "--dereference", "--hard-dereference", "--absolute-names", *left_out, *wanted],
            stdout=subprocess.PIPE,
        )
        load = subprocess.run(
            [DOCKER, *engine.client()[1:], "import", "-", tag],
            stdin=pack.stdout,
            capture_output=True,
            text=True,
            check=False,
        )
        assert pack.wait() == 0
        assert load.returncode == 0, load.stderr
    return tag


def postgresql(engine: Engine) -> str:
    """PostgreSQL 15, with its programs where Debian has them."""
    return build(
        engine,
        "phpborg-test/postgres:15",
        *("/usr/lib/postgresql/15", "/usr/share/postgresql/15", "/usr/share/zoneinfo"),
        leave_out=("*/bitcode", "*llvmjit*", "*/pgxs", "/usr/share/postgresql/15/man"),
    )


def mariadb(engine: Engine) -> str:
    """MariaDB 10.11, with its programs where Debian has them."""
    return build(
        engine,
        "phpborg-test/mariadb:10.11",
        *("/usr/sbin/mariadbd", "/usr/bin/mariadb", "/usr/share/mysql", "/usr/lib/mysql/plugin", "/usr/share/zoneinfo"),
    )


def fake_mongod(engine: Engine, place: Path) -> str:
    """A fake of MongoDB's server (fake_mongod_program.py), packed in `place`, and the Python that it is written in."""
    code = ROOT / "tests/support/fake_mongod_program.py"
    program, library = place / "usr/bin/mongod", place / "opt/fake"
    program.parent.mkdir(parents=True)
    text = "#!/usr/bin/python3\nimport sys\nsys.path.insert(0, '/opt/fake')\n"
    program.write_text(text + code.read_text().replace("from __future__ import annotations\n", ""))
    program.chmod(0o755)
    for name in ("servers/remote/probes", "tests/transport/fake_mongod.py"):
        target = library / name
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        target.parent.mkdir(parents=True)
        copy(ROOT / name, target)
    for one in (ROOT / "servers/remote").glob("*.py"):
        shutil.copyfile(one, library / "servers/remote" / one.name)
    python = ("/usr/bin/python3", "/usr/bin/python3.11", "/usr/lib/python3.11")
    left_out = ("*/config-3.11-*", "*/__pycache__", "*/test")
    name = "phpborg-test/mongo:6.0"
    return build(engine, name, str(program), str(library), *python, leave_out=left_out, moved=(str(place), ""))


def adminer(engine: Engine) -> str:
    """PHP with the modules of PostgreSQL and MySQL, and Adminer, each where Debian has it."""
    return build(
        engine,
        "phpborg-test/adminer:4",
        *("/usr/bin/php", "/usr/lib/php", "/etc/php", "/usr/share/adminer", "/usr/share/zoneinfo"),
        leave_out=("/etc/php/*/apache2", "/usr/share/adminer/designs"),
    )
