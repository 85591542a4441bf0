"""What the system probe and a sample of statistics make of the kernel's own texts."""

from __future__ import annotations

from servers.remote import statistics
from servers.remote.probes import system


def test_an_os_release_is_quoted_like_a_shell():
    text = 'NAME="x"\nID=rocky\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.4"\nPRETTY_NAME=\'A "B" \\C\'\nBROKEN="\n'
    assert system.os_release(text) == {
        "id": "rocky",
        "version_id": "9.4",
        "pretty_name": 'A "B" \\C',
        "id_like": "rhel centos fedora",
    }
    assert set(system.os_release("").values()) == {None}


def test_borg_says_its_version_below_a_warning():
    assert system.borg_version("/usr/lib/x.py:1: UserWarning: pkg\nborg 1.2.4\n") == "1.2.4"
    assert system.borg_version("Traceback (most recent call last):") is None


def test_ticks_are_counted_once_and_old_kernels_have_fewer():
    new = statistics.cpu_counters("cpu  100 10 50 800 20 5 5 10 40 3\ncpu0 1 1 1 1 1 1 1 1 1 1\n")
    assert new == {"user": 110, "system": 60, "idle": 800, "iowait": 20, "steal": 10, "total": 1000}
    old = statistics.cpu_counters("cpu 1 2 3 4 5\n")
    assert old == {"user": 3, "system": 3, "idle": 4, "iowait": 5, "steal": 0, "total": 15}
    assert statistics.cpu_counters("") is None
    assert statistics.cpu_share(new, dict(new, total=1100, idle=870, iowait=25)) == 0.25
    assert statistics.cpu_share(new, new) is None
    assert statistics.cpu_share(None, new) is None


def test_what_the_kernel_does_not_tell_is_not_zero():
    found = statistics.memory("MemTotal: 1000 kB\nMemFree: 1 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\nHugePages_Total: 0\n")
    assert found == {"total_bytes": 1024000, "available_bytes": None, "swap_total_bytes": 0, "swap_free_bytes": 0}


def test_only_the_machines_own_networks():
    head = "Inter-|   Receive  |  Transmit\n face |bytes packets |bytes\n"
    names = ("lo", "eth0", "veth12ab", "docker0", "br-0123456789ab", "br-lan", "eth0:1")
    text = head + "".join(f"{name:>6}: 10 1 0 0 0 0 0 0 20 1 0 0 0 0 0 0\n" for name in names)
    found = statistics.network(text)
    assert [one["name"] for one in found] == ["eth0", "br-lan", "eth0:1"]
    assert found[0] == {"name": "eth0", "received_bytes": 10, "sent_bytes": 20}
