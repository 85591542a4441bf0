"""The one file that the programs of a session write to."""

from __future__ import annotations

import subprocess

from servers.remote.instant.log import Log


def test_it_is_bounded_for_all_who_write_to_it():
    with Log(most=10_000) as log:
        writer = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=log.fileno(), bufsize=0)
        assert writer.stdin is not None
        for number in range(500):
            writer.stdin.write(b"%099d\n" % number)
        subprocess.run(["true"], check=True)
        while log.size < 50_000:
            pass
        log.bound()
        assert log.size == 4000
        writer.stdin.write(b"the end\n")
        writer.stdin.close()
        writer.wait()
        assert log.tail().endswith(b"%099d\nthe end\n" % 499)
        assert log.size == 4008
        assert log.tail(since=4000) == b"the end\n"
