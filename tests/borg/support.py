"""Verbs for the tests with real borg."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from backups.borg import argv, outcome
from backups.borg.explain import Where
from backups.borg.outcome import StoppedFor, Verdict
from backups.borg.report import Report
from backups.borg.repository import BorgRepository
from backups.borg.runner import Access
from phpborg import process
from tests.support.archives import in_repository

PASSPHRASE = "a $HOME `id` ' \" \\ é 日本  "


class Bench:
    """A scratch place with one borg: repositories, sources and runs."""

    def __init__(self, root: Path, binary: str) -> None:
        self.root, self.binary = root, binary
        self.source = root / "src"
        self.source.mkdir()

    @property
    def is_modern(self) -> bool:
        return "1.4" in self.binary

    def repository(
        self,
        name: str = "repo",
        *,
        encryption: str = "repokey-blake2",
        passphrase: str = PASSPHRASE,
        base: str = "base",
        init: bool = True,
        **more: object,
    ) -> BorgRepository:
        made = BorgRepository(
            str(self.root / name),
            encryption=encryption,
            passphrase=passphrase,
            base_dir=self.root / base,
            binary=self.binary,
            **more,  # type: ignore[arg-type]
        )
        if init:
            made.init()
        return made

    def serve_script(self, repository: BorgRepository, *, before: str = "") -> str:
        """What stands for ssh: a program that runs `borg serve` on this host, with something said before."""
        script = self.root / "rsh"
        serve = f"{self.binary} serve --append-only --restrict-to-repository='{repository.path}'"
        script.write_text(f"#!/bin/sh\n{before}\nexec {serve}\n")
        script.chmod(0o755)
        return str(script)

    def create(
        self,
        repository: BorgRepository,
        name: str,
        *sources: Path,
        remote: str = "",
        base: str = "server-base",
        passphrase: str = PASSPHRASE,
        stop: process.Stop | None = None,
        stopped_for: StoppedFor = StoppedFor.NOTHING,
        on_start: Callable[[int], None] | None = None,
        prove: bool = True,
        relocated_ok: bool = False,
        **options: object,
    ) -> tuple[Verdict, Report]:
        """One backup by the product's own parts; `remote` is a program that stands for ssh."""
        paths = tuple(os.fsencode(path) for path in sources or (self.source,))
        report = Report(sources=paths)
        place = f"ssh://phpborg{repository.path}" if remote else repository.path
        command = argv.create(
            self.binary,
            place,
            name,
            argv.CreateOptions(paths, **options),  # type: ignore[arg-type]
            lock_wait=5,
        )
        access = Access(self.binary, repository.mode.value, passphrase, self.root / base, relocated_ok)
        with ExitStack() as stack:
            values, descriptors = access.environment(stack)
            if remote:
                values["BORG_RSH"] = remote
            ended = process.stream(
                command,
                env=values,
                pass_fds=descriptors,
                on_stdout=report.stdout,
                on_stderr=lambda line: (report.stderr(line), None)[1],
                stop=stop,
                on_start=on_start,
                timeout=120,
            )
        verdict = outcome.judge_create(
            ended,
            report,
            proof=in_repository(repository, name) if prove else None,
            where=Where(repository=repository.path, archive=name, host="backup-host"),
            stopped_for=stopped_for,
        )
        return verdict, report


def in_background(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread
