"""Records what LVM answers, for tests that need no virtual machine: `python -m tests.lab.recording`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.lab.guest import Guest, running_guest

RECORDED = Path(__file__).parents[1] / "support/recorded/lvm-2.03.json"
FIELDS = {
    "lvs": "vg_name,vg_uuid,lv_name,lv_full_name,lv_path,lv_dm_path,lv_uuid,lv_size,lv_attr,lv_layout,lv_role,"
    "lv_active,lv_kernel_major,lv_kernel_minor,lv_snapshot_invalid,lv_merge_failed,lv_health_status,lv_skip_activation,"
    "lv_tags,lv_time,origin,origin_size,pool_lv,data_lv,metadata_lv,data_percent,snap_percent,metadata_percent,"
    "lv_metadata_size,move_pv,convert_lv,vg_free,vg_extent_size,segtype,chunk_size,thin_id,discards",
    "vgs": "vg_name,vg_uuid,vg_fmt,vg_attr,vg_size,vg_free,vg_extent_size,vg_extent_count,vg_free_count,"
    "vg_tags,pv_count,lv_count,snap_count,vg_missing_pv_count,vg_shared,vg_clustered",
    "pvs": "pv_name,pv_uuid,vg_name,pv_fmt,pv_attr,pv_size,pv_free,pv_used,dev_size,pv_missing",
}
# Classic snapshots in use and overflowed, a thin one in use and one that is not active.
_SETUP = """set -e
lvcreate --yes --quiet --snapshot --size 64m --name snap-data vg-a/lv-data
lvcreate --yes --quiet --snapshot --size 4m --name snap-full vg-a/lv-mysql
dd if=/dev/urandom of=/var/lib/mysql/fill bs=1M count=16 conv=fsync status=none
lvcreate --yes --quiet --snapshot --setactivationskip n --name thin-snap vg-thin/thin-data
lvcreate --yes --quiet --snapshot --name thin-asleep vg-thin/thin-data
sync
"""
_UNDO = """rm -f /var/lib/mysql/fill
lvremove --yes --quiet --force vg-a/snap-data vg-a/snap-full vg-thin/thin-snap vg-thin/thin-asleep
"""


def record(guest: Guest) -> dict[str, Any]:
    """The answers of `lvs`, `vgs` and `pvs` as they came, with classic, overflowed and thin snapshots."""
    guest.execute(("sh", "-c", _SETUP))
    try:
        found: dict[str, Any] = {"version": guest.execute(("lvs", "--version")).stdout.decode()}
        for command, fields in FIELDS.items():
            argv = (command, "--reportformat", "json", "--units", "b", "--nosuffix", "-o", fields)
            found[command] = json.loads(guest.execute(argv).stdout)
        return found
    finally:
        guest.execute(("sh", "-c", _UNDO))


def main() -> None:
    """Write the file."""
    with running_guest() as guest:
        answers = record(guest)
    RECORDED.parent.mkdir(parents=True, exist_ok=True)
    RECORDED.write_text(json.dumps(answers, indent=1) + "\n")


if __name__ == "__main__":
    main()
