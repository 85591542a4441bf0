"""ZFS datasets."""

from typing import Any, Dict, List, Optional

from . import base, mounts

# The mount point is last: it alone may hold a tab.
_COLUMNS = "name,mounted,used,available,mountpoint"


def probe(look: base.Look) -> Dict[str, Any]:
    """All filesystems and volumes of all imported pools."""
    if look.find("zfs") is None:
        return {"installed": False, "version": None, "problem": None, "datasets": []}
    ran = look.run(["zfs", "list", "-Hp", "-t", "filesystem,volume", "-o", _COLUMNS])
    problem = None if ran.ok else (ran.err or ran.out).strip()[-500:] or "exit status {}".format(ran.code)
    mounted = {mount["source"]: mount["target"] for mount in mounts.kernel_table() if mount["fstype"] == "zfs"}
    return {
        "installed": True,
        "version": version(look.read("/sys/module/zfs/version"), look.run(["zfs", "version"]).out),
        "problem": "zfs list failed: {}".format(problem) if problem else None,
        "datasets": datasets(ran.out, mounted) if ran.ok else [],
    }


def version(module: Optional[str], tools: str) -> Optional[str]:
    """Of the kernel's module, else of the tools (`zfs-2.1.11-1`; before 0.8 they do not say)."""
    words = (module or tools).split()
    return words[0].replace("zfs-", "", 1) if words and words[0].replace("zfs-", "", 1)[:1].isdigit() else None


def datasets(text: str, mounted: Dict[str, str]) -> List[Dict[str, Any]]:
    """The answer of `zfs list -Hp`. `mounted`: where the kernel has each dataset mounted.

    A dataset with the mount point “legacy” is mounted by others: then it is what the kernel says.
    """
    found = []
    for line in text.split("\n"):
        fields = line.split("\t", 4)
        if len(fields) != 5:
            continue
        name, is_mounted, used, available, mountpoint = fields
        found.append(
            {
                "name": name,
                "mountpoint": mounted.get(name) or (mountpoint if mountpoint.startswith("/") else None),
                "mounted": is_mounted == "yes" or name in mounted,
                "used_bytes": int(used) if used.isdigit() else None,
                "available_bytes": int(available) if available.isdigit() else None,
            }
        )
    return found
