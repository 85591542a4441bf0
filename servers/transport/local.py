"""This machine: the same program, started directly (root) or by `sudo -n`; no SSH."""

from __future__ import annotations

import os

from phpborg.errors import PhpBorgError
from phpborg.process import Exit
from servers import errors
from servers.transport.conversation import Conversation
from servers.transport.host import HelperHost, sudo_sentence


class LocalHost(HelperHost):
    """Carries out verbs on this machine."""

    def launcher(self, *, options: tuple[str, ...], as_login: bool) -> tuple[str, ...]:
        """Start the helper here, by sudo when the target says so and we are not root."""
        if self.target.sudo and not as_login and os.geteuid() != 0:
            return ("sudo", "-n", self.target.helper_path)
        return (self.target.helper_path,)

    def explain(self, launcher: Exit, conversation: Conversation) -> PhpBorgError:
        """sudo's sentence, or that the helper was killed."""
        heard = conversation.heard or launcher.stderr_tail
        sentence = sudo_sentence(heard)
        label = self.target.label
        if conversation.started:
            return errors.ConnectionLost(heard, address=label)
        if "unable to execute" in sentence or "bad interpreter" in heard:
            return errors.PythonMissing(heard, address=label)
        if "command not found" in sentence:
            return errors.HelperMissing(sentence, address=label, path=self.target.helper_path)
        if sentence:
            return errors.SudoRefused(sentence, address=label, user=self.target.user)
        return errors.HelperMissing(heard, address=label, path=self.target.helper_path)
