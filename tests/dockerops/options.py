"""Containers beside a project: between them every option of `docker run` that an engine of a test takes.

What a kernel or an engine does not have (a size of the root, real-time shares, shared mounts) is not there.
"""

from __future__ import annotations

from pathlib import Path

_QUOTES = 'it\'s "quoted", `id` $(id) \\ ; = é'
# Standalone, paused by its owner, the network of the engine itself.
_MANY = (
    *("--hostname", "probe-host", "--domainname", "example.test", "--user", "0:0", "--group-add", "1234"),
    *("--env", "LINES=one\ntwo\n", "--env", f"QUOTES={_QUOTES}", "--env", "EMPTY=", "--label", f"odd={_QUOTES}"),
    *("--workdir", "/tmp", "--init", "--stop-signal", "SIGTERM", "--stop-timeout", "3", "--restart", "on-failure:3"),
    *("--memory", "64m", "--memory-swap", "96m", "--memory-reservation", "32m", "--cpu-shares", "512"),
    *("--cpu-period", "100000", "--cpu-quota", "90000", "--cpuset-cpus", "0", "--pids-limit", "100"),
    *("--oom-score-adj", "100", "--ulimit", "nofile=512:1024", "--ulimit", "core=0", "--shm-size", "8m"),
    *("--cap-drop", "NET_RAW", "--cap-add", "SYS_NICE", "--security-opt", "no-new-privileges", "--read-only"),
    *("--tmpfs", "/run:size=4m,mode=1777"),
    *("--device", "/dev/null:/dev/nothing:rw", "--device-cgroup-rule", "c 1:3 rw", "--ipc", "shareable"),
    *("--add-host", "other:10.9.9.9", "--dns", "10.1.1.1", "--dns-search", "a.test", "--dns-option", "ndots:2"),
    *("--log-driver", "json-file", "--log-opt", "max-size=1m", "--log-opt", "max-file=2"),
    *("--sysctl", "net.ipv4.ip_forward=0", "--mac-address", "02:42:0a:4d:00:59", "--runtime", "runc"),
    *("--publish", "127.0.0.1:18086:7000/udp", "--publish", "127.0.0.1:18200-18202:9000-9002", "--expose", "7100-7101"),
    # Seldom: a kernel cannot freeze what is about to start a process.
    *("--health-cmd", "cat /proc/version > /dev/null", "--health-interval", "5m", "--health-timeout", "5s"),
    *("--health-retries", "3", "--health-start-period", "1s", "--volume", "alone_data:/alone", "--volume", "/unnamed"),
)
# In a network of somebody's, in the first one's processes and memory, with mounts of every kind.
_JOINED = (
    *("--network", "corp-net", "--ip", "10.77.0.88", "--mac-address", "02:42:0a:4d:00:58", "--network-alias", "near"),
    *("--network-alias", "second", "--link-local-ip", "169.254.8.8", "--link", "kiosk_web_1:shop"),
    *("--pid", "container:probe-1", "--ipc", "container:probe-1", "--volumes-from", "probe-1:ro", "--tty"),
    *("--interactive", "--cpus", "0.5", "--security-opt", "seccomp=unconfined", "--log-driver", "local"),
    *("--health-cmd", "true", "--health-interval", "1s", "--label", "empty=", "--add-host", "gate:host-gateway"),
    *("--mount", "type=volume,src=typed_data,dst=/typed,volume-nocopy,volume-label=of=the mount"),
    *("--mount", "type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1770", "--mount", "type=volume,dst=/unnamed-too"),
)
# Never started: what it asks for, an engine of a test may be unable to give.
_ASKING = (
    *("--privileged", "--network", "host", "--uts", "host", "--pid", "host", "--ipc", "host", "--userns", "host"),
    *("--cap-add", "ALL", "--security-opt", "apparmor=unconfined", "--security-opt", "systempaths=unconfined"),
    *("--oom-kill-disable", "--memory-swappiness", "10", "--memory", "64m", "--cgroupns", "host"),
    *("--device-read-bps", "/dev/null:1mb", "--device-write-iops", "/dev/null:100", "--restart", "always"),
    *("--log-driver", "none", "--no-healthcheck", "--volume-driver", "local", "--volume", "driven_data:/d:ro,nocopy"),
)
# Their ends are facts that an engine does not give to a container anew.
_ENDED = ("--publish-all", "--expose", "9100/udp", "--link", "probe-1:near", "--restart", "no")
_FAILED = ("--network", "none", "--ipc", "none", "--entrypoint", "/bin/sh", "--pids-limit", "-1")
_STOPPED = ("--network", "container:probe-2", "--restart", "unless-stopped", "--stop-timeout", "1")


def rows(beside: Path, secret: str, loop: str) -> tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...]:
    """(`create` or `run`, options with the name, command) of each, in the order in which they can be made."""
    shell = ("/bin/sh", "-c")
    binds = (
        *("--mount", f"type=bind,src={beside},dst=/typed-bind,readonly,bind-propagation=private"),
        *("--mount", f"type=bind,src={beside},dst=/alone-bind,bind-nonrecursive"),
        *("--volume", f"{beside}/one:/etc/one:ro,z"),
    )
    return (
        ("run", ("--name", "probe-1", "--env", f"TOKEN={secret}", *_MANY), (*shell, loop)),
        ("run", ("--name", "probe-2", *_JOINED, *binds), (*shell, loop)),
        ("create", ("--name", "probe-asks", *_ASKING), (*shell, loop)),
        ("run", ("--name", "probe-ended", *_ENDED), (*shell, "exit 0")),
        ("run", ("--name", "probe-failed", *_FAILED), ("-c", "exit 3")),
        ("run", ("--name", "probe-stopped", *_STOPPED), (*shell, loop)),
    )


# As they are left, by their names.
STATES = {
    "probe-1": "paused",
    "probe-2": "running",
    "probe-asks": "created",
    "probe-ended": "exited",
    "probe-failed": "exited",
    "probe-stopped": "exited",
}
