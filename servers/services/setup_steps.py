"""The set-up of a server, step by step; each leaves its outcome, and what failed says what to do.

A step's title is an English text that pages translate; its `commands` are lines for an
administrator to run as root where we may not act ourselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_noop

from phpborg.errors import PhpBorgError
from phpborg.tasks.context import TaskContext
from phpborg.tasks.registry import Outcome
from phpborg.tasks.states import StepState
from servers.errors import (
    ConnectionLost,
    HelperMissing,
    HelperOutdated,
    HostKeyChanged,
    HostUnreachable,
    NoisyLogin,
    SudoRefused,
    TimedOut,
)
from servers.models import Server
from servers.remote.build import build_helper, helper_version
from servers.services import identity, installing, reach, setup_data
from servers.services.errors import (
    BorgNotInstalled,
    BorgVersion,
    HelperNotInstalled,
    InstallFailed,
    PythonMissing,
)
from servers.services.reach import host_for, own_helper, target_of
from servers.transport import fabric_host

TITLES = {
    "connect": gettext_noop("Connect"),
    "host-key": gettext_noop("Identity"),
    "login": gettext_noop("Sign in"),
    "python": gettext_noop("Python"),
    "sudo": gettext_noop("Right to run as root"),
    "helper": gettext_noop("phpBorg's program"),
    "sudoers": gettext_noop("sudo rule"),
    "borg": gettext_noop("Borg"),
    "data": gettext_noop("Way of the data"),
    "facts": gettext_noop("Facts"),
}
TRANSIENT = (HostUnreachable, TimedOut, ConnectionLost)
INSTALL_SECONDS = 900
_MARK = "phpborg-is-here"
Row = dict[str, Any]


def run(context: TaskContext, server: Server) -> Outcome:
    """Set the server up; its state and last error say how it went. Raises the step's error."""
    context.phase("setup")
    try:
        facts = (LocalSetUp if server.is_local else SshSetUp)(context, server).carry_out()
    except PhpBorgError as error:
        # A network that is down for a moment does not undo a set-up that was good.
        keeps = server.is_ready and isinstance(error, TRANSIENT)
        state = server.state if keeps else Server.State.FAILED
        Server.objects.filter(pk=server.pk).update(state=state, last_error_code=error.code)
        raise
    now = timezone.now()
    Server.objects.filter(pk=server.pk).update(
        state=Server.State.READY, facts=facts, facts_at=now, last_seen_at=now, last_error_code=""
    )
    return Outcome(result={"borg": facts["borg"]["version"], "helper": facts["version"]})


class SetUp:
    """What the set-ups of this machine and of a server over SSH share."""

    def __init__(self, context: TaskContext, server: Server) -> None:
        self.context = context
        self.server = server
        self.may_install = bool(context.params.get("install", True))
        self.family = ""

    def carry_out(self) -> dict[str, Any]:
        """All steps in order; answers the facts."""
        raise AssertionError("each set-up has its own steps")

    @contextmanager
    def step(self, code: str) -> Iterator[Row]:
        """A step with its title; a cancellation is noticed before it."""
        self.context.stop.check()
        self.context.log(f"step {code}")
        with self.context.step(code, TITLES[code]) as row:
            yield row

    def hello(self) -> dict[str, Any]:
        """What the program on the server says about it."""
        return host_for(self.server).call("hello", stop=self.context.stop, timeout=40)

    def borg(self, row: Row, install: Callable[[str], None] | None) -> dict[str, Any]:
        """Borg is there in a version that we speak; installed when we may."""
        facts = self.hello()
        if not facts["borg"]["version"] and install and self.may_install:
            try:
                install("borgbackup")
            except PhpBorgError:
                row["commands"] = installing.package_remedy(self.family, "borgbackup")
                raise
            facts = self.hello()
        version = facts["borg"]["version"]
        if not version:
            row["commands"] = installing.package_remedy(self.family, "borgbackup")
            raise BorgNotInstalled(str(facts["borg"].get("problem") or ""))
        if not installing.borg_is_supported(version):
            raise BorgVersion(version=version)
        row["detail"] = f"{facts['borg']['path']} {version}"
        return facts

    def finish(self, facts: dict[str, Any], install: Callable[[str], None] | None) -> dict[str, Any]:
        """The steps from Borg on."""
        with self.step("borg") as row:
            facts = self.borg(row, install)
        with self.step("data") as row:
            setup_data.prove(self.context, self.server, row)
        with self.step("facts") as row:
            system = facts.get("os", {}).get("pretty_name", "")
            row["detail"] = " · ".join(filter(None, (facts.get("hostname"), system, facts.get("kernel"))))
        return facts


class LocalSetUp(SetUp):
    """This machine: no SSH, and as root nothing to install but Borg."""

    def carry_out(self) -> dict[str, Any]:
        with self.step("helper") as row:
            facts = self._helper(row)
        self.family = installing.family_of(_own_os_release())
        is_root = facts["uid"] == 0 and not target_of(self.server).sudo
        return self.finish(facts, setup_data.local_installer(self.context, self) if is_root else None)

    def _helper(self, row: Row) -> dict[str, Any]:
        user = _own_account()
        try:
            facts = self.hello()
            if facts["version"] != helper_version():
                raise HelperOutdated(address=self.server.name)
        except (HelperMissing, HelperOutdated, SudoRefused):
            helper = installing.helper_remedy(user, own_helper().read_bytes(), sent=str(own_helper()))
            row["commands"] = f"{helper}\n{installing.sudoers_remedy(user)}"
            raise
        row["detail"] = str(facts["version"])
        return facts


class SshSetUp(SetUp):
    """A server over SSH, as root or as an account that runs one command by sudo."""

    host: fabric_host.FabricHost

    def carry_out(self) -> dict[str, Any]:
        with ExitStack() as stack:
            with self.step("connect") as row:
                shown = fabric_host.fetch_host_key(self.server.address, self.server.port)
                row["detail"] = self.server.endpoint
            with self.step("host-key") as row:
                self._identity(shown.line, row)
            with self.step("login") as row:
                self.host = stack.enter_context(fabric_host.FabricHost.connect(target_of(self.server)))
                self._look_around(row)
            with self.step("python") as row:
                self._python(row)
            with self.step("sudo") as row:
                may_all = self._rights(row)
            with self.step("helper") as row:
                facts = self._helper(row, may_all)
            with self.step("sudoers") as row:
                self._sudoers(row, may_all)
            return self.finish(facts, self._install_package if may_all else None)

    def _identity(self, line: str, row: Row) -> None:
        """The pinned key, or nothing goes on."""
        row["detail"] = self.server.host_key_fingerprint
        if line in self.server.host_key.splitlines():
            identity.note_host_key(self.server, line)
            return
        # Another kind of key may be shown first; what counts is the pinned one.
        try:
            with fabric_host.FabricHost.connect(target_of(self.server)):
                return
        except HostKeyChanged:
            identity.note_host_key(self.server, line)
            raise
        except PhpBorgError:
            return

    def _look_around(self, row: Row) -> None:
        """The account can run a command; text of login scripts is tolerated and quoted."""
        result = self.host.execute(("echo", _MARK), timeout=20)
        before, found, _after = result.stdout.partition(_MARK)
        if not found:
            raise NoisyLogin(result.text[:1000], address=self.server.address)
        release = self.host.execute(("cat", "/etc/os-release"), timeout=20)
        self.family = installing.family_of(release.stdout)
        row["detail"] = "\n".join(filter(None, (self.server.user, before.strip()[:500])))

    def _python(self, row: Row) -> None:
        words = ("/usr/bin/python3", "-c", "import sys; print('phpborg-python', *sys.version_info[:2])")
        result = self.host.execute(words, timeout=20)
        _before, _found, numbers = result.stdout.partition("phpborg-python ")
        found = tuple(int(word) for word in numbers.split()[:2] if word.isdigit())
        if result.code != 0 or len(found) != 2 or found < installing.OLDEST_PYTHON:
            row["commands"] = installing.package_remedy(self.family, "python3")
            raise PythonMissing(result.text[:1000])
        row["detail"] = ".".join(map(str, found))

    def _rights(self, row: Row) -> bool:
        """May we do anything as root? False: only start the program. Raises SudoRefused when neither."""
        if self.server.user == "root":
            row["state"] = StepState.SKIPPED
            return True
        anything = self.host.execute(("sudo", "-n", "true"), timeout=20)
        if anything.code == 0:
            row["detail"] = "NOPASSWD: ALL"
            return True
        try:
            self.hello()
        except (HelperMissing, HelperOutdated):
            pass
        except SudoRefused as error:
            row["commands"] = self._by_hand()
            raise SudoRefused(anything.stderr.strip()[-500:] or error.detail, **error.facts) from None
        row["detail"] = reach.HELPER_PATH
        return False

    def _by_hand(self) -> str:
        """The commands that do for us what we may not: the program is already sent to the account's home."""
        helper = build_helper()
        self.host.send_file(installing.SENT_NAME, helper)
        user = self.server.user
        return f"{installing.helper_remedy(user, helper)}\n{installing.sudoers_remedy(user)}"

    def _helper(self, row: Row, may_all: bool) -> dict[str, Any]:
        """The program in this version, installed by root when we may."""
        try:
            facts = self.hello()
            if facts["version"] == helper_version():
                row["detail"] = str(facts["version"])
                return facts
        except (HelperMissing, HelperOutdated, SudoRefused):
            pass
        if not (may_all and self.may_install):
            row["commands"] = self._by_hand()
            raise HelperNotInstalled()
        self.host.install_helper()
        facts = self.hello()
        row["detail"] = str(facts["version"])
        return facts

    def _sudoers(self, row: Row, may_all: bool) -> None:
        """The narrow rule is there, so that the account's wide rights can be taken away."""
        if self.server.user == "root":
            row["state"] = StepState.SKIPPED
            return
        row["detail"] = installing.SUDOERS_PATH
        if not may_all:
            return
        wanted = installing.sudoers_text(self.server.user)
        there = self.host.execute(("sudo", "-n", "cat", installing.SUDOERS_PATH), timeout=20)
        if wanted in there.stdout:
            return
        if self.may_install:
            self.host.install_sudoers(wanted, installing.SUDOERS_PATH)
        else:
            row["state"] = StepState.WARNING
            row["commands"] = installing.sudoers_remedy(self.server.user)

    def _install_package(self, package: str) -> None:
        prefix = () if self.server.user == "root" else ("sudo", "-n")
        commands = installing.install_commands(self.family, package)
        if not commands:
            raise BorgNotInstalled()
        for argv in commands:
            self.context.stop.check()
            self.context.log(" ".join(argv))
            result = self.host.execute((*prefix, *argv), timeout=INSTALL_SECONDS)
            self.context.log(result.text[-4000:])
            # A repository that is not reachable does not matter as long as the package is.
            if result.code != 0 and argv is commands[-1]:
                raise InstallFailed(result.text[-1500:])


def _own_os_release() -> str:
    try:
        with open("/etc/os-release", encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _own_account() -> str:
    import getpass

    return getpass.getuser()
