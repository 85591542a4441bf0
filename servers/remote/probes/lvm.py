"""Volume groups and logical volumes, as LVM itself reports them."""

import json
import os
import platform
from typing import Any, Dict, List, Optional

from . import base

_REPORT = ("--reportformat", "json", "--units", "b", "--nosuffix")
_VG_COLUMNS = "vg_name,vg_size,vg_free,vg_extent_size"
# No column of segments: with one, a volume in two pieces would be two lines.
_LV_COLUMNS = (
    "vg_name,lv_name,lv_path,lv_kernel_major,lv_kernel_minor,lv_size,lv_attr,lv_layout,origin,pool_lv,data_percent"
)
# LVM counts open descriptors and speaks of each; they are closed for it.
_QUIET = {"LVM_SUPPRESS_FD_WARNINGS": "1"}
_KINDS = {"t": "thin-pool", "V": "thin", "s": "snapshot", "S": "snapshot"}


def probe(look: base.Look) -> Dict[str, Any]:
    """Volume groups, volumes, and whether this kernel can make snapshots of them."""
    if look.find("lvs") is None:
        return {"installed": False, "version": None, "problem": None, "vgs": [], "lvs": [], "snapshots_possible": None}
    facts: Dict[str, Any] = {"installed": True, "problem": None, "vgs": [], "lvs": []}
    facts["version"] = version(look.run(["lvs", "--version"], env=_QUIET).out)
    for key, columns, parse in (("vgs", _VG_COLUMNS, volume_groups), ("lvs", _LV_COLUMNS, volumes)):
        ran = look.run([key, *_REPORT, "-o", columns], env=_QUIET)
        try:
            if not ran.ok:
                raise ValueError(ran.err.strip() or "exit status {}".format(ran.code))
            facts[key] = parse(ran.out)
        except (ValueError, KeyError, TypeError) as error:
            facts["problem"] = facts["problem"] or "{} failed: {}".format(key, str(error)[-500:])
    facts["snapshots_possible"] = _snapshots_possible(look)
    return facts


def version(text: str) -> Optional[str]:
    """`LVM version:     2.03.16(2) (2022-05-18)` -> "2.03.16"."""
    for line in text.split("\n"):
        name, _, rest = line.partition(":")
        if name.strip() == "LVM version" and rest.split():
            return rest.split("(")[0].strip()
    return None


def _rows(text: str, kind: str) -> List[Dict[str, Any]]:
    # A report of the commands that were run may stand beside ours ("log"), before or after.
    return [row for report in json.loads(text)["report"] for row in report.get(kind, [])]


def volume_groups(text: str) -> List[Dict[str, Any]]:
    """The answer of `vgs`. Raises ValueError or KeyError when it is none."""
    return [
        {
            "name": row["vg_name"],
            "size_bytes": _whole(row["vg_size"]),
            "free_bytes": _whole(row["vg_free"]),
            "extent_bytes": _whole(row["vg_extent_size"]),
        }
        for row in _rows(text, "vg")
    ]


def volumes(text: str) -> List[Dict[str, Any]]:
    """The answer of `lvs`. Raises ValueError or KeyError when it is none."""
    return [
        {
            "vg": row["vg_name"],
            "name": row["lv_name"],
            "path": row["lv_path"] or None,
            "device": _device(row),
            "size_bytes": _whole(row["lv_size"]),
            "attr": row["lv_attr"],
            "origin": _hidden(row["origin"]),
            "pool": _hidden(row["pool_lv"]),
            "kind": _kind(row),
            "data_percent": _percent(row["data_percent"]),
        }
        for row in _rows(text, "lv")
    ]


def _kind(row: Dict[str, Any]) -> str:
    found = _KINDS.get(row["lv_attr"][:1])
    if found:
        return found
    layout = row.get("lv_layout") or ""
    # The JSON of newer versions (json_std) has a list here.
    words = layout if isinstance(layout, list) else layout.split(",")
    return "linear" if words == ["linear"] else "other"


def _device(row: Dict[str, Any]) -> Optional[str]:
    """The kernel names a mapped device by its minor number; a volume that is not active has -1."""
    minor = _whole(row["lv_kernel_minor"])
    return None if minor is None or minor < 0 else "/dev/dm-{}".format(minor)


def _hidden(name: Any) -> Optional[str]:
    """A volume's name, without the brackets of one that is not shown itself."""
    return str(name).strip("[]") if name else None


def _whole(value: Any) -> Optional[int]:
    return int(str(value).partition(".")[0]) if value not in ("", None) else None


def _percent(value: Any) -> Optional[float]:
    return float(value) if value not in ("", None) else None


def _snapshots_possible(look: base.Look) -> Optional[bool]:
    if os.path.isdir("/sys/module/dm_snapshot"):
        return True
    directory = "/lib/modules/" + platform.release()
    lists = [look.read(os.path.join(directory, name), 16 << 20) for name in ("modules.builtin", "modules.dep")]
    return can_snapshot(lists[0], lists[1], os.path.exists("/proc/modules"))


def can_snapshot(builtin: Optional[str], loadable: Optional[str], loads_modules: bool) -> Optional[bool]:
    """From the kernel's lists of modules; None when it can load some that we cannot see."""
    for text in (builtin, loadable):
        for line in (text or "").splitlines():
            name = os.path.basename(line.split(":")[0])
            if name.split(".")[0].replace("-", "_") == "dm_snapshot":
                return True
    return False if loadable is not None or not loads_modules else None
