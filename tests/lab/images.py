"""Images from Debian packages, made once a recipe: no registry is asked.

debootstrap makes the base; every other image is its parent plus packages plus a script of `image_parts/`, run in
a container and committed. The recipe is part of a tag, so the engine itself knows what is built.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.install.bare_root import CLIENT_VARIABLES
from tests.lab.engine import Engine, LabFailed, locked

RELEASE = "bookworm"
# Where Debian has MySQL itself: its stable releases have MariaDB alone. The mirror is that of RELEASE.
UNSTABLE = "sid"
PARTS = Path(__file__).parent / "image_parts"
# Count up when the code below builds something else out of the same recipe.
_WAY = 2
# Nobody reads these in a container; dpkg leaves them out, and does not wait for the disk.
_DPKG = "force-unsafe-io\n" + "".join(
    f"path-exclude=/usr/share/{name}/*\n" for name in ("doc", "man", "locale", "info")
)


@dataclass(frozen=True)
class Image:
    """One image: `parent` (None: a new root of Debian's `release`) plus `packages`, then `script` of image_parts/."""

    name: str
    packages: tuple[str, ...]
    parent: Image | None = None
    script: str = ""
    files: tuple[str, ...] = ()
    release: str = RELEASE

    @property
    def recipe(self) -> str:
        """Changes whenever the result would."""
        texts = [(PARTS / name).read_text() for name in (self.script, *self.files) if name]
        parent = self.parent.recipe if self.parent else f"{_WAY} {self.release} {_DPKG}"
        return hashlib.sha256(json.dumps([self.name, parent, self.packages, texts]).encode()).hexdigest()[:12]

    @property
    def tag(self) -> str:
        """The tag that only this recipe has."""
        return f"{self.name.partition(':')[0]}:recipe-{self.recipe}"


BASE = Image(
    "phpborg-lab/base:latest",
    ("procps", "iproute2", "python3", "openssh-server", "sudo", "borgbackup", "socat"),
    script="base.sh",
)
POSTGRESQL = Image("phpborg-lab/postgresql:15", ("postgresql-15",), BASE, "postgresql.sh")
MARIADB = Image("phpborg-lab/mariadb:10.11", ("mariadb-server", "mariadb-backup"), BASE)
SERVER_POSTGRESQL = Image(
    "phpborg-lab/server-postgresql:latest", (), POSTGRESQL, "server-postgresql.sh", ("lab-init", "sshd_config")
)
SERVER_MARIADB = Image(
    "phpborg-lab/server-mariadb:latest", (), MARIADB, "server-mariadb.sh", ("lab-init", "sshd_config")
)
BASE_UNSTABLE = Image("phpborg-lab/base-sid:latest", BASE.packages, script="base.sh", release=UNSTABLE)
MYSQL = Image("phpborg-lab/mysql:latest", ("mysql-server",), BASE_UNSTABLE, release=UNSTABLE)
SERVER_MYSQL = Image(
    "phpborg-lab/server-mysql:latest", (), MYSQL, "server-mysql.sh", ("lab-init", "sshd_config"), UNSTABLE
)
IMAGES = (BASE, POSTGRESQL, MARIADB, SERVER_POSTGRESQL, SERVER_MARIADB, BASE_UNSTABLE, MYSQL, SERVER_MYSQL)


def ensure(engine: Engine, *wanted: Image) -> None:
    """Build those that are missing, parents first. Raises LabFailed with the end of the log."""
    with locked(engine.place / ".images"):
        for image in IMAGES:
            if image in (ancestor for name in wanted for ancestor in _with_parents(name)) and not _here(engine, image):
                (_derive if image.parent else _bootstrap)(engine, image)
                engine.docker("tag", image.tag, image.name)
                _remove_older(engine, image)


def built(engine: Engine, image: Image) -> bool:
    """Is this very recipe in the store? Works also while the engine is down."""
    try:
        stored = json.loads((engine.data / "image/overlay2/repositories.json").read_text())
    except (OSError, ValueError):
        return False
    return image.tag in stored.get("Repositories", {}).get(image.name.partition(":")[0], {})


def _with_parents(image: Image) -> list[Image]:
    return [*(_with_parents(image.parent) if image.parent else ()), image]


def _here(engine: Engine, image: Image) -> bool:
    return engine.docker("image", "inspect", image.tag, check=False).returncode == 0


def _remove_older(engine: Engine, image: Image) -> None:
    """Other recipes of this image; one that a container still uses stays until the next time."""
    tags = engine.docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", image.name.partition(":")[0]).stdout
    for tag in tags.split():
        if tag not in (image.name, image.tag):
            engine.docker("image", "rm", tag, check=False)


def _bootstrap(engine: Engine, image: Image) -> None:
    work = Path(tempfile.mkdtemp(prefix=".root-", dir=engine.place))
    try:
        site = _sources(image.release)[0].split()[1]
        # A mirror's cost is the round trips: debootstrap fetches all, and dpkg unpacks all, in one go.
        packages = f"--include={','.join(image.packages)}"
        _run(["debootstrap", "--variant=minbase", packages, image.release, str(work), site])
        (work / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\nexit 101\n")
        (work / "usr/sbin/policy-rc.d").chmod(0o755)
        (work / "etc/dpkg/dpkg.cfg.d/lab").write_text(_DPKG)
        _run(["chroot", str(work), "sh", "-eu", "-c", (PARTS / image.script).read_text()])
        with subprocess.Popen(["tar", "-C", str(work), "-c", "."], stdout=subprocess.PIPE) as tar:
            engine.docker("import", "--change", "ENV LANG=C.UTF-8", "-", image.tag, stdin=tar.stdout)
        if tar.returncode:
            raise LabFailed(f"tar could not read the new root: exit {tar.returncode}")
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _derive(engine: Engine, image: Image) -> None:
    assert image.parent
    name = f"build-{image.recipe}"
    work = Path(tempfile.mkdtemp(prefix=".build-", dir=engine.place))
    try:
        (work / "sources.list").write_text("\n".join(_sources(image.release)) + "\n")
        (work / "machine").write_text(_run(["apt-config", "dump", "Acquire"]))
        engine.docker("rm", "--force", name, check=False)
        mounts, variables = _way_to_packages(work)
        engine.docker("run", "--detach", "--name", name, *mounts, image.parent.tag, "sleep", "infinity")
        engine.docker("exec", *variables, name, "sh", "-eu", "-c", _steps(image))
        engine.docker("commit", "--change", 'CMD ["bash"]', name, image.tag)
    finally:
        engine.docker("rm", "--force", name, check=False)
        shutil.rmtree(work, ignore_errors=True)


def _way_to_packages(work: Path) -> tuple[list[str], list[str]]:
    """Options for run and for exec: the machine's way to its mirror, lent to the container, not left in the image."""
    variables = ["--env", "DEBIAN_FRONTEND=noninteractive"]
    for name in os.environ:
        if CLIENT_VARIABLES.fullmatch(name) and not name.upper().startswith("PIP_"):
            variables += ["--env", name]
    pairs = [(work / "sources.list", "/etc/apt/sources.list"), (work / "machine", "/etc/apt/apt.conf.d/99machine")]
    for name in ("/etc/apt/auth.conf.d", "/etc/ssl/certs/ca-certificates.crt"):
        pairs += [(Path(name), name)] if Path(name).exists() else []
    mounts = [f"--volume={source}:{target}:ro" for source, target in (*pairs, (PARTS, "/lab"))]
    return ["--network", "host", *mounts], variables


def _steps(image: Image) -> str:
    install = (
        f"apt-get -q update; apt-get -q install -y --no-install-recommends {' '.join(image.packages)}; apt-get clean"
    )
    script = f". /lab/{image.script}" if image.script else ""
    return "\n".join([f"{install}; rm -rf /var/lib/apt/lists/*" if image.packages else "", script])


def _sources(release: str) -> list[str]:
    """Lines for sources.list: what the machine's own apt uses for our release, the release itself first.

    Of another release its own line alone, from the mirror that has ours.
    """
    table = _run(["apt-get", "indextargets", "--format", "$(SITE) $(RELEASE) $(COMPONENT)", "Created-By: Packages"])
    rows = [line.split() for line in table.splitlines() if re.search(rf" {RELEASE}(-updates|-security)? main$", line)]
    sites = sorted(row[0] for row in rows if row[1] == RELEASE)
    if not sites:
        raise LabFailed(f"apt of this machine names no source of {RELEASE}; the laboratory is built from that release.")
    if release != RELEASE:
        return [f"deb {sites[0]} {release} main"]
    return sorted({f"deb {' '.join(row)}" for row in rows}, key=lambda line: (line.split()[2] != RELEASE, line))


def _run(argv: list[str]) -> str:
    """Its standard output; LabFailed with the end of its words."""
    done = subprocess.run(argv, text=True, capture_output=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise LabFailed(f"{argv[0]}: exit {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout
