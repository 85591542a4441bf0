"""A function of ours as a tool, in a process of its own."""

import os
from pathlib import Path

from servers.remote import forked


def ask_one_that_ended(_sink: int) -> None:
    read, write = os.pipe()
    os.close(read)
    os.write(write, b"SHOW GRANTS;")


def test_a_client_that_ended_before_it_was_asked_is_a_reason(tmp_path: Path) -> None:
    """As on a busy machine, where it is refused before the question is written."""
    with (tmp_path / "said").open("w+b") as said:
        child = forked.start(ask_one_that_ended, None, said.fileno())
        assert child.stdout.read() == b""
        child.stdout.close()
        assert child.wait() == 1
        said.seek(0)
        assert b"Broken pipe" in said.read()
