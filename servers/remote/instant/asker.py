"""How the server in the container is asked: by a program of its image, in HTTP, or in MongoDB's protocol.

The last two need no program of the image, which may have none. Each question has a kind, and is asked once at a time:
whoever asks decides how often, and how long.
"""

import socket
import time
from typing import Dict, List, Optional, Tuple

from .. import children, wire
from . import cage, gateway, inside, mongo, prepared, web
from .asked import Asking, Question, Session

_SECONDS = 60.0
_ROLLING_BACK_SECONDS = 3600.0


class Asker:
    """The running stage of one session."""

    def __init__(self, session: Session, docker: cage.Docker, path: str, control: wire.Control) -> None:
        """`path` is the server's socket, if it has one."""
        self._session = session
        self._docker = docker
        self._path = path
        self._control = control
        self._namespace: Optional[inside.Namespace] = None  # of the running stage
        self._left: Dict[Tuple[str, ...], List[str]] = {}  # candidates that the image may have
        self.prepared: Optional[int] = None  # transactions in doubt, once that was asked

    @property
    def known(self) -> Dict[Tuple[str, ...], str]:
        """Of some candidates the one that has answered."""
        return {programs: left[0] for programs, left in self._left.items()}

    def listens(self, number: int) -> bool:
        """Does the server accept connections, at its socket or its port?"""
        if self._session.port is None:
            return gateway.answers(self._path)
        if self._namespace is None:
            name = cage.container(self._session.token, number)
            try:
                self._namespace = inside.Namespace(self._docker, name, self._control)
            except wire.Refused:
                self._control.check()
                return False  # it does not run yet, or no more
        return self._namespace.answers(self._session.port)

    def target(self) -> gateway.Target:
        """Where it listens."""
        if self._session.port is None:
            return gateway.Socket(self._path)
        assert self._namespace is not None
        return gateway.Port(self._namespace, self._session.port)

    def leave(self) -> None:
        """Each start of the container has a namespace of its own."""
        if self._namespace is not None:
            self._namespace.close()
            self._namespace = None

    def ask(self, number: int, question: Asking) -> Tuple[bool, str]:
        """Once: was it answered as it must be, and the answer. Raises Stopped."""
        if isinstance(question, Question):
            return self._ask_program(number, question)
        if isinstance(question, prepared.Prepared):
            self._settle(number, question)
            return True, ""
        try:
            end: socket.socket = self.target().connected()
            if isinstance(question, web.Query):
                return web.ask(end, question, _SECONDS)
            patient = mongo.Patient(end, self._control, time.monotonic() + _SECONDS, lambda: None)
            return mongo.ask(patient, question)
        except OSError as error:
            return False, str(error)

    def _ask_program(self, number: int, question: Question) -> Tuple[bool, str]:
        left = self._left.setdefault(tuple(question.programs), list(question.programs))
        argv = cage.execute(self._docker, self._session.token, number, [left[0], *question.argv])
        code, said = children.capture(argv, self._control, timeout=_SECONDS)
        if code == 0 and (question.answer is None or said.strip() == question.answer):
            return True, ""
        if cage.has_no_such_program(code, said) and len(left) > 1:
            left.pop(0)
        return False, said.decode("utf-8", "replace").strip()

    def _settle(self, number: int, question: prepared.Prepared) -> None:
        """Raises Refused when it cannot be done: asked again it could not either."""
        program = self.known.get(tuple(question.programs), question.programs[0])

        def ask(words: List[str]) -> Tuple[int, bytes]:
            argv = cage.execute(self._docker, self._session.token, number, [program, *words])
            began = time.monotonic()
            code, said = children.capture(argv, self._control, timeout=_ROLLING_BACK_SECONDS)
            if code != 0 and time.monotonic() - began >= _ROLLING_BACK_SECONDS:
                raise wire.Refused("late", "transactions that clients had prepared (XA) were not settled in time")
            return code, said

        self.prepared = prepared.settle(question, ask)
