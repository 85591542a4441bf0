"""A Debian root with git and nothing else, where script/server can be tried as on a new machine.

The root is made once by debootstrap and kept as a tar file outside the checkout. Every use unpacks it
afresh and runs in its own process and mount namespaces, so all that was started in it can be ended
at once, and what is left after a stop can be counted.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "phpborg-tests"
KEPT_SECONDS = 21 * 24 * 3600
# The registry clients of this machine keep their settings here; the root needs the same to reach them.
CLIENT_FILES = (
    "/etc/apt/sources.list",
    "/etc/apt/sources.list.d",
    "/etc/apt/trusted.gpg.d",
    "/etc/apt/keyrings",
    "/etc/apt/auth.conf",
    "/etc/apt/auth.conf.d",
    "/usr/share/keyrings",
    "/etc/pip.conf",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/resolv.conf",
    "/etc/hosts",
)
CLIENT_VARIABLES = re.compile(
    r"PIP_(?!FIND_LINKS|CACHE_DIR|TARGET|PREFIX)\w+|(https?|no|all)_proxy|SSL_CERT_(FILE|DIR)|(REQUESTS|CURL)_CA_BUNDLE",
    re.IGNORECASE,
)
# Ended children of the root's processes come to this one; ignoring SIGCHLD lets the kernel bury them.
HOLDER = "import signal\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\nwhile True: signal.pause()"


def run(*argv: str | Path, **options) -> subprocess.CompletedProcess:
    return subprocess.run([str(word) for word in argv], check=True, text=True, **options)


def debian_source() -> tuple[str, str]:
    """Address and release name that this machine's own apt uses."""
    listed = run(
        "apt-get", "indextargets", "--format", "$(SITE) $(RELEASE)", "Created-By: Packages", capture_output=True
    ).stdout
    release = re.search(r"VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text())
    assert release
    sites = [line.split()[0] for line in listed.splitlines() if line.split()[1:] == [release[1]]]
    assert sites, "apt of this machine names no source of its own release"
    return sites[0], release[1]


def cached_tar() -> Path:
    """The bare root as a tar file; made when it is missing or old."""
    site, release = debian_source()
    tar = CACHE / f"bare-{release}.tar"
    if tar.exists() and time.time() - tar.stat().st_mtime < KEPT_SECONDS:
        return tar
    CACHE.mkdir(parents=True, exist_ok=True)
    work = CACHE / f"bare-{release}.{os.getpid()}"
    try:
        run("debootstrap", "--variant=minbase", "--include=git", release, work, site, stdout=subprocess.DEVNULL)
        run("tar", "-C", work, "-cf", f"{work}.tar", ".")
        Path(f"{work}.tar").replace(tar)
    finally:
        shutil.rmtree(work, ignore_errors=True)
        Path(f"{work}.tar").unlink(missing_ok=True)
    return tar


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class BareRoot:
    """One unpacked root with its namespaces. Use as a context manager."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> BareRoot:
        self.path.mkdir(mode=0o755)
        run("tar", "-C", self.path, "-xpf", cached_tar())
        self._copy_client_settings()
        fuse = self.path / "dev/fuse"
        if not fuse.exists():
            os.mknod(fuse, 0o600 | 0o020000, os.makedev(10, 229))
        # A mount of its own, as a container's root is: a restore as root makes a private view of it.
        mounts = f"mount --bind {self.path} {self.path}"
        mounts += f" && mount -t proc proc {self.path}/proc && mount -t tmpfs tmpfs {self.path}/dev/shm"
        script = f'{mounts} && exec {sys.executable} -c "$0"'
        spaces = ("unshare", "--pid", "--fork", "--mount", "--propagation", "private", "--kill-child")
        self._unshare = subprocess.Popen([*spaces, "sh", "-c", script, HOLDER])
        deadline = time.monotonic() + 20
        while not self._holds():
            assert self._unshare.poll() is None, "the root did not come up"
            assert time.monotonic() < deadline, "the root did not come up in time"
            time.sleep(0.05)
        self.holder = children(self._unshare.pid)[0]
        return self

    def _holds(self) -> bool:
        """Has the first process of the root finished its mounts?"""
        for pid in children(self._unshare.pid):
            with suppress(OSError):
                return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(os.fsencode(sys.executable))
        return False

    def __exit__(self, *_: object) -> None:
        self._unshare.send_signal(signal.SIGKILL)
        self._unshare.wait()
        shutil.rmtree(self.path, ignore_errors=True)

    def _copy_client_settings(self) -> None:
        (self.path / "etc/apt/sources.list").unlink(missing_ok=True)
        for name in CLIENT_FILES:
            source, target = Path(name), self.path / name[1:]
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, dirs_exist_ok=True)
            elif source.exists():
                shutil.copy2(source, target)
        for source in Path("/etc/apt/apt.conf.d").iterdir():
            if "Acquire" in source.read_text():
                shutil.copy2(source, self.path / "etc/apt/apt.conf.d")

        # A certificate each, so that the root's own update-ca-certificates keeps them.
        own = self.path / "usr/local/share/ca-certificates"
        own.mkdir(parents=True, exist_ok=True)
        bundle = Path("/etc/ssl/certs/ca-certificates.crt").read_text()
        for number, text in enumerate(re.findall(r"-----BEGIN C.*?END CERTIFICATE-----\n", bundle, re.DOTALL)):
            (own / f"machine-{number}.crt").write_text(text)

    def argv(self, *argv: str, cwd: str = "/root", **extra: str) -> list[str]:
        """The command line that runs `argv` in the root, with a clean environment."""
        environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
            **{name: value for name, value in os.environ.items() if CLIENT_VARIABLES.fullmatch(name)},
            **extra,
        }
        pairs = [f"{name}={value}" for name, value in environment.items()]
        enter = ["nsenter", "--target", str(self.holder), "--pid", "--mount", "chroot", str(self.path)]
        return [*enter, "env", "-i", *pairs, "sh", "-c", 'cd "$0" && exec "$@"', cwd, *argv]

    def run(self, *argv: str, check: bool = True, **options: str) -> subprocess.CompletedProcess:
        done = subprocess.run(self.argv(*argv, **options), text=True, capture_output=True, stdin=subprocess.DEVNULL)
        assert not check or done.returncode == 0, f"{argv}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def processes(self) -> list[str]:
        """What runs in the root, without its first process and without the question itself."""
        space = os.stat(f"/proc/{self.holder}/ns/pid").st_ino
        found = []
        for entry in os.listdir("/proc"):
            with suppress(OSError):
                if entry.isdigit() and os.stat(f"/proc/{entry}/ns/pid").st_ino == space and int(entry) != self.holder:
                    found.append(
                        Path(f"/proc/{entry}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    )
        return found

    def mounts(self) -> list[str]:
        """Mount points inside the root."""
        lines = Path(f"/proc/{self.holder}/mountinfo").read_text().splitlines()
        return [line.split()[4] for line in lines if line.split()[4].startswith(f"{self.path}/")]
