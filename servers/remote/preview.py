"""The verb `exclude_preview`: what a job would leave out, asked of borg itself.

A dry run against an empty private repository. To learn which exclude matched nothing, the paths
that were dropped are rebuilt as an empty skeleton, and borg walks that once for each exclude.
"""

import os
import shutil
import tempfile
import time
from typing import Dict, List, Optional

from . import argv as lines
from . import borg, children, policy, validate, wire

_LISTED = 1000
_SKELETON = 50000


class _Walk:
    """Reads the lines of one dry run."""

    def __init__(self) -> None:
        self.included = 0
        self.excluded = 0
        self.dropped: List[bytes] = []
        self.messages: List[str] = []

    def line(self, line: bytes) -> None:
        """One line: `- PATH` is kept, `x PATH` is left out, anything else is a message."""
        if line.startswith(b"- "):
            self.included += 1
        elif line.startswith(b"x "):
            self.excluded += 1
            if len(self.dropped) < _SKELETON:
                self.dropped.append(line[2:])
        elif line and len(self.messages) < 50:
            self.messages.append(line.decode("utf-8", "replace")[:500])


class _Preview:
    def __init__(self, directory: str, request: wire.Request, control: wire.Control) -> None:
        args = request.args
        self.control = control
        self.borg = borg.find_borg()
        self.repository = os.path.join(directory, "repository")
        self.skeleton = os.path.join(directory, "skeleton")
        self.env = {
            "BORG_BASE_DIR": os.path.join(directory, "base"),
            "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
        }
        self.deadline = time.monotonic() + validate.number(args.get("limit_seconds", 60), "limit_seconds", 1, 600)
        self.paths = validate.texts(args.get("paths"), "paths", 1000)
        options = validate.texts(args.get("options", []), "options", 2000)
        words = ["create", *options, "--", self.repository + "::preview", *self.paths]
        self.options = lines.parse(words, local=True).options

    def run(self, words: List[str], walk: _Walk, directory: Optional[int] = None) -> bool:
        """Run borg within what is left of the time; False when the time was too short."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            return False
        code, _ = children.capture(
            [self.borg, *words], self.control, env=self.env, on_line=walk.line, timeout=left, directory=directory
        )
        return code != 124

    def excludes(self) -> List[str]:
        """The options that leave something out, in their order."""
        return [word for word in self.options if word.startswith(("--exclude=", "--pattern=-", "--pattern=!"))]

    def answer(self) -> Dict[str, object]:
        first = _Walk()
        self.run(["init", "-e", "none", self.repository], first)
        walk = _Walk()
        # These print lines of their own or need a repository that holds something.
        quiet = {"--json", "--stats", "--list", "--dry-run", "--log-json", "--progress"}
        options = [word for word in self.options if word not in quiet and not word.startswith("--filter=")]
        words = ["create", "--dry-run", "--list", *options, "--", self.repository + "::preview", *self.paths]
        complete = self.run(words, walk)
        known = complete and walk.excluded <= _SKELETON
        matched = self._matched(walk.dropped) if known else {}
        return {
            "complete": complete,
            "included": walk.included,
            "excluded": walk.excluded,
            "dropped": [wire.shown(path) for path in walk.dropped[:_LISTED]],
            "excludes": [{"option": word, "matched": matched.get(word)} for word in self.excludes()],
            "messages": walk.messages or first.messages,
        }

    def _matched(self, dropped: List[bytes]) -> Dict[str, Optional[bool]]:
        if not dropped:
            return dict.fromkeys(self.excludes(), False)
        for path in dropped:
            self._rebuild(path)
        answers: Dict[str, Optional[bool]] = {}
        for word in self.excludes():
            walk = _Walk()
            opened = os.open(self.skeleton, os.O_RDONLY | os.O_DIRECTORY)
            try:
                words = ["create", "--dry-run", "--list", word, "--", self.repository + "::preview", "."]
                done = self.run(words, walk, opened)
            finally:
                os.close(opened)
            answers[word] = walk.excluded > 0 if done else None
        return answers

    def _rebuild(self, path: bytes) -> None:
        place = os.path.join(os.fsencode(self.skeleton), path.lstrip(b"/"))
        try:
            os.makedirs(os.path.dirname(place), exist_ok=True)
            os.close(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
        except OSError:
            return


def exclude_preview(request: wire.Request, control: wire.Control) -> None:
    """What these options would leave out of these paths; borg's own semantics, limited in time."""
    for path in validate.texts(request.args.get("paths"), "paths", 1000):
        policy.check_read(validate.absolute(path, "path"), real=True)
    directory = tempfile.mkdtemp(prefix="phpborg-preview-")
    try:
        wire.answer(_Preview(directory, request, control).answer())
    finally:
        shutil.rmtree(directory, ignore_errors=True)
