"""MongoDB while its volume is frozen: `fsyncLock`, which nobody who writes gets past, and its end.

That lock outlives the connection that took it. So a process of its own takes it and gives it back: when it is told
to, when we are gone (also by kill -9), or when it has lasted too long. It keeps the one connection, because a
locked server may let nobody sign in. If that process is killed, we give the lock back.
"""

import os
import select
import signal
import socket
import time
from contextlib import suppress
from typing import Any, Dict, Optional

from .. import nearby, validate, wire
from ..probes import databases, mongodb, scram
from . import LONGEST_SECONDS, Hold

_CONNECT_SECONDS = 10.0
_LOCK_SECONDS = 30.0
_UNLOCK_SECONDS = 20.0
# A lock that was asked for and not answered may still come: so long it is looked for.
_LATE_SECONDS = 120.0
_NOT_LOCKED = "not locked"


class Server(Hold):
    """`row`: {"address", "port"} or {"socket"}, and "login": {"method": "none"|"given", "user", "authdb"}."""

    def __init__(self, row: Dict[str, Any], secrets: Dict[str, Any]) -> None:
        self._way = Way(row, secrets)
        self._keeper: Optional[Keeper] = None
        self._began = 0.0
        self.facts = {"engine": "mongodb", "locked": False, "locked_seconds": None}
        try:
            with self._way.open() as connection:
                self._check(mongodb.Talk(connection))
        except (OSError, mongodb.Refused, scram.Failed, ValueError) as error:
            raise wire.Refused("hold", "the database server cannot be asked: {}".format(error)) from None

    def _check(self, talk: mongodb.Talk) -> None:
        self._way.sign_in(talk)
        if talk.try_to("isMaster").get("msg") == "isdbgrid":
            raise wire.Refused("hold", "it is a router of several servers: each has a volume of its own")
        if talk.try_to("currentOp", **{"$ownOps": True}).get("fsyncLock") is True:
            # We could not tell this lock from ours.
            raise wire.Refused("hold", "it is locked already by somebody's fsyncLock: unlock it with fsyncUnlock")

    def quiesce(self) -> None:
        """Lock it."""
        self._began = time.monotonic()
        self._keeper = Keeper(self._way)
        answer = self._keeper.wait(_CONNECT_SECONDS + _LOCK_SECONDS + 5)
        if answer != "locked":
            self.close()
            raise wire.Refused("hold", "the database server could not be locked: {}".format(answer or "no answer"))

    def release(self) -> None:
        """Unlock it."""
        assert self.facts is not None
        assert self._keeper is not None
        answer = self._keeper.give_back()
        if answer == "":
            answer = self._give_back_ourselves()
        if answer != "unlocked":
            text = "the lock of the database was lost while the snapshot was made ({}): it is not of one moment"
            raise wire.Refused("hold", text.format(answer))
        self.facts.update(locked=True, locked_seconds=round(time.monotonic() - self._began, 3))

    def _give_back_ourselves(self) -> str:
        """Somebody has killed the process that held the lock: it is held still."""
        try:
            return unlock(self._way, None, time.monotonic() + _UNLOCK_SECONDS)
        finally:
            self._keeper = None

    def close(self) -> None:
        """The process that holds the lock, if any, gives it back by itself when the pipe ends."""
        if self._keeper is not None:
            self._keeper.close()
            self._keeper = None


class Way:
    """How the server is reached, and who we are there."""

    def __init__(self, row: Dict[str, Any], secrets: Dict[str, Any]) -> None:
        self._door = _door(row)
        table = row.get("login")
        login = table if isinstance(table, dict) else {}
        self._user: Optional[str] = None
        if validate.choice(login.get("method"), "login method", ["none", "given"]) == "given":
            if self._door.path is None:
                nearby.check_listener("mongodb", str(self._door.address), int(self._door.port or 0))
            self._user = validate.text(login.get("user"), "user", limit=256)
            self._source = validate.text(login.get("authdb") or "admin", "authdb", limit=64)
            self._password = validate.text(secrets.get("database"), "the database's password", limit=1 << 12)

    def open(self) -> socket.socket:
        """A connection on which it answers, with TLS when it wants that. Raises OSError and ValueError."""
        for encrypted in (False, True):
            connection = mongodb.connected(self._door, encrypted, _CONNECT_SECONDS)
            try:
                mongodb.Talk(connection).try_to("isMaster")
                return connection
            except OSError:
                connection.close()
                if encrypted:
                    raise
        raise AssertionError("it was tried")

    def sign_in(self, talk: mongodb.Talk) -> None:
        """Raises mongodb.Refused, OSError and scram.Failed."""
        if self._user is None:
            return
        mongodb.sign_in(talk, self._user, self._password, self._source)


class Keeper:
    """The process that holds the lock, and the pipes to it. It says a word at a time; "" is its end."""

    def __init__(self, way: Way) -> None:
        theirs, self._to = os.pipe()
        self._from, told = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                _detach(theirs, told)
                _keep(way)
            finally:
                os._exit(0)
        self.pid = pid
        os.close(theirs)
        os.close(told)

    def wait(self, seconds: float) -> Optional[str]:
        """What it says; None when it does not in time."""
        if not select.select([self._from], [], [], seconds)[0]:
            return None
        return os.read(self._from, 4096).decode("utf-8", "replace").strip()

    def give_back(self) -> str:
        """Tell it to, and what became of it."""
        with suppress(OSError):
            os.write(self._to, b".")
        answer = self.wait(_UNLOCK_SECONDS + 5)
        return "it does not answer" if answer is None else answer

    def close(self) -> None:
        """It gives back what it holds, now or when the server answers it, and ends."""
        os.close(self._to)
        os.close(self._from)
        with suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)


def _detach(orders: int, told: int) -> None:
    """Nothing that ends us ends it, and it keeps nothing of ours open: orders are its 0, what it tells its 1."""
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    orders, told = os.dup(orders), os.dup(told)
    os.dup2(orders, 0)
    os.dup2(told, 1)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 2)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))


def _keep(way: Way) -> None:
    """Lock, say so, wait for the word, our end or too long a time, unlock, say so."""
    asked = False
    try:
        connection = way.open()
        talk = mongodb.Talk(connection)
        way.sign_in(talk)
        connection.settimeout(_LOCK_SECONDS)
        asked = True
        talk.ask("fsync", lock=True)
    except mongodb.Refused as refusal:
        _say(str(refusal))
        return
    except Exception as error:
        _say(str(error) or type(error).__name__)
        if asked:
            unlock(way, None, time.monotonic() + _LATE_SECONDS, late=True)
        return
    _say("locked")
    ordered = bool(select.select([0], [], [], LONGEST_SECONDS)[0])
    answer = unlock(way, connection, time.monotonic() + _UNLOCK_SECONDS)
    _say(answer if ordered else "it was let go after {:g} s".format(LONGEST_SECONDS))


def _say(text: str) -> None:
    with suppress(OSError):
        os.write(1, text.encode("utf-8")[:4000])


def unlock(way: Way, connection: Optional[socket.socket], until: float, late: bool = False) -> str:
    """Give one lock back: "unlocked", or why not. `late`: it may only come; asked again until it was there."""
    problem = "not tried"
    while True:
        try:
            if connection is None:
                connection = way.open()
                way.sign_in(mongodb.Talk(connection))
            mongodb.Talk(connection).ask("fsyncUnlock")
            return "unlocked"
        except mongodb.Refused as refusal:
            problem = str(refusal)
            if _NOT_LOCKED in problem and not late:
                return "it was unlocked by somebody else"
        except Exception as error:
            problem = str(error) or type(error).__name__
            if connection is not None:
                connection.close()
                connection = None
        if time.monotonic() > until:
            return problem
        time.sleep(0.5)


def _door(row: Dict[str, Any]) -> databases.Door:
    if row.get("socket") is not None:
        return databases.Door(wire.shown(validate.absolute(row["socket"], "socket")))
    address = nearby.own_address(row.get("address"), "address")
    return databases.Door(None, address, validate.number(row.get("port"), "port", 1, 65535))
