"""What the storage probes make of the tools' answers: recorded outputs, no tool is started."""

from __future__ import annotations

import json

import pytest

from servers.remote.probes import base, btrfs, lvm, mounts, zfs

# --- mounts ----------------------------------------------------------------------------------------

MOUNTINFO = (
    rb"""22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/root rw,errors=remount-ro
23 22 0:21 / /proc rw,nosuid shared:12 - proc proc rw
24 22 0:5 / /dev rw,nosuid shared:2 - devtmpfs udev rw,size=4k
25 24 0:23 / /dev/shm rw,nosuid shared:3 - tmpfs tmpfs rw
26 22 0:24 / /run rw,nosuid shared:5 - tmpfs tmpfs rw
27 22 0:30 / /tmp rw shared:6 - tmpfs tmpfs rw,size=8g
40 22 7:1 / /snap/core/1 ro,nodev shared:30 - squashfs /dev/loop1 ro
41 22 253:0 / /srv/pg\040two\134x\011y rw - xfs /dev/mapper/vg--a-lv--root rw,noquota
42 22 253:0 /sub /srv/bound ro,relatime - xfs /dev/mapper/vg--a-lv--root rw,noquota
43 22 0:50 / /mnt/nfs rw - nfs4 files:/export rw,vers=4.2
44 22 0:45 /@home /home rw - btrfs /dev/sdb rw,subvolid=257,subvol=/@home
45 22 0:45 / /mnt/pool rw - btrfs /dev/sdb rw,subvolid=5,subvol=/
46 22 0:60 / /data2/overlay2/abc/merged rw - overlay overlay rw,lowerdir=/data2/overlay2/l/X
47 22 8:1 / /mnt/over rw - ext4 /dev/sda1 rw
48 22 8:2 / /mnt/over rw - ext4 /dev/sda2 ro
50 22 0:70 / /var/lib/phpborg/mounts/1a ro - fuse borgfs ro,user_id=0
"""
    + b"49 22 8:3 / /mnt/bad\xff\r rw - ext4 /dev/sda3 rw\n"
)


def test_the_kernels_table_keeps_every_byte_of_a_path():
    found = {mount["target"]: mount for mount in mounts.from_mountinfo(MOUNTINFO)}
    assert found["/srv/pg two\\x\ty"]["source"] == "/dev/mapper/vg--a-lv--root"
    assert found["/mnt/bad\udcff\r"]["device"] == "8:3"
    assert found["/home"]["root"] == "/@home"
    assert len(found) == 16


def test_read_only_on_either_side_is_read_only():
    found = [mount for mount in mounts.from_mountinfo(MOUNTINFO) if mount["device"] in ("253:0", "8:2")]
    assert [mount["options"] for mount in found] == [["rw", "noquota"], ["ro", "relatime", "noquota"], ["ro"]]


def test_only_real_filesystems_are_told_and_a_hidden_mount_is_not():
    real = [mount for mount in mounts.visible(mounts.from_mountinfo(MOUNTINFO)) if mounts.is_real(mount)]
    assert [mount["target"] for mount in real] == [
        "/", "/tmp", "/srv/pg two\\x\ty", "/srv/bound", "/mnt/nfs", "/home", "/mnt/pool", "/mnt/over",
        "/mnt/bad\udcff\r",
    ]  # fmt: skip
    assert next(mount for mount in real if mount["target"] == "/mnt/over")["device"] == "8:2"


def test_a_snapshot_of_zfs_that_somebody_looks_into_is_no_filesystem():
    lines = (
        b"60 22 0:46 / /srv/data rw - zfs tank/data rw,xattr\n"
        b"61 60 0:52 / /srv/data/.zfs/snapshot/daily rw - zfs tank/data@daily ro,xattr\n"
    )
    real = [mount for mount in mounts.from_mountinfo(lines) if mounts.is_real(mount)]
    assert [mount["source"] for mount in real] == ["tank/data"]
    assert [mount["source"] for mount in mounts.filesystems(mounts.from_mountinfo(lines))] == ["tank/data"]


def test_each_filesystem_is_counted_once_by_its_plainest_mount():
    found = mounts.filesystems(mounts.from_mountinfo(MOUNTINFO))
    assert {mount["device"]: mount["target"] for mount in found} == {
        "254:1": "/",
        "253:0": "/srv/pg two\\x\ty",
        "0:50": "/mnt/nfs",
        "0:45": "/mnt/pool",
        "8:2": "/mnt/over",
        "8:3": "/mnt/bad\udcff\r",
    }


def test_a_container_still_has_its_own_root():
    line = b"1 0 0:90 / / rw - overlay overlay rw,lowerdir=/var/lib/docker/overlay2/l/X\n"
    assert [mount["target"] for mount in mounts.filesystems(mounts.from_mountinfo(line))] == ["/"]


# util-linux 2.38 with --list; a tree with `children`, as without it; bytes that are no text.
FINDMNT = rb"""{
   "filesystems": [
      {"target":"/", "source":"/dev/vda", "fstype":"ext4", "options":"rw,relatime", "maj:min":"254:0  ", "fsroot":"/",
         "children": [
            {"target":"/srv/pg two\\x20y\u0009z", "source":"/dev/mapper/vg--a-lv--root", "fstype":"xfs",
             "options":"rw", "maj:min":"253:0", "fsroot":"/"},
            {"target":"/mnt/bad@", "source":"none", "fstype":"tmpfs", "options":null, "maj:min":"0:41", "fsroot":"/"}
         ]
      }
   ]
}
""".replace(b"@", b"\xff").decode("utf-8", "surrogateescape")


def test_findmnt_says_the_same_in_its_own_way():
    found = mounts.from_findmnt(FINDMNT)
    assert [mount["target"] for mount in found] == ["/", "/srv/pg two\\x20y\tz", "/mnt/bad\udcff"]
    assert found[1] == {
        "target": "/srv/pg two\\x20y\tz",
        "source": "/dev/mapper/vg--a-lv--root",
        "fstype": "xfs",
        "options": ["rw"],
        "device": "253:0",
        "root": "/",
    }


@pytest.mark.parametrize(
    "ran",
    [
        base.Ran(None, "", "findmnt is not installed"),
        base.Ran(1, "", "findmnt: unrecognized option: json"),
        base.Ran(0, "TARGET SOURCE\n/ /dev/sda1\n", ""),
        base.Ran(0, '{"filesystems": [{"target": "/"}]}', ""),
        base.Ran(0, "null", ""),
    ],
)
def test_without_a_findmnt_that_writes_json_the_kernel_is_asked(ran: base.Ran, monkeypatch: pytest.MonkeyPatch):
    look = base.Look({})
    monkeypatch.setattr(look, "run", lambda *_, **__: ran)
    assert "/" in [mount["target"] for mount in mounts.table(look)]


def test_both_ways_agree_on_this_machine():
    kernel = {(mount["target"], mount["device"]): mount for mount in mounts.kernel_table()}
    tool = {(mount["target"], mount["device"]): mount for mount in mounts.table(base.Look({}))}
    # Other tests may mount and unmount meanwhile.
    both = kernel.keys() & tool.keys()
    assert "/" in [target for target, _ in both]
    assert [tool[key] for key in both] == [kernel[key] for key in both]


# --- LVM -------------------------------------------------------------------------------------------

VGS = """
  {
      "report": [
          {
              "vg": [
                  {"vg_name":"vg-a", "vg_size":"10733223936", "vg_free":"0", "vg_extent_size":"4194304"},
                  {"vg_name":"vg--b", "vg_size":"24373939404", "vg_free":"24373939404", "vg_extent_size":"33554432"}
              ]
          }
      ]
  }
"""

# 2.02.176 to 2.03.16: every value is text.
LVS = """
  {
      "report": [
          {
              "lv": [
                  {"vg_name":"vg-a", "lv_name":"lv-root", "lv_path":"/dev/vg-a/lv-root", "lv_kernel_major":"253",
                   "lv_kernel_minor":"3", "lv_size":"5368709120", "lv_attr":"owi-aos---", "lv_layout":"linear",
                   "origin":"", "pool_lv":"", "data_percent":""},
                  {"vg_name":"vg-a", "lv_name":"phpborg-1a", "lv_path":"/dev/vg-a/phpborg-1a", "lv_kernel_major":"253",
                   "lv_kernel_minor":"6", "lv_size":"536870912", "lv_attr":"swi-a-s---", "lv_layout":"linear",
                   "origin":"lv-root", "pool_lv":"", "data_percent":"12.34"},
                  {"vg_name":"vg-a", "lv_name":"pool-0", "lv_path":"", "lv_kernel_major":"253", "lv_kernel_minor":"2",
                   "lv_size":"4294967296", "lv_attr":"twi-aotz--", "lv_layout":"thin,pool", "origin":"", "pool_lv":"",
                   "data_percent":"0.00"},
                  {"vg_name":"vg-a", "lv_name":"thin-1", "lv_path":"/dev/vg-a/thin-1", "lv_kernel_major":"-1",
                   "lv_kernel_minor":"-1", "lv_size":"1073741824", "lv_attr":"Vwi---tz-k", "lv_layout":"thin,sparse",
                   "origin":"thin-0", "pool_lv":"pool-0", "data_percent":""},
                  {"vg_name":"vg-a", "lv_name":"fast", "lv_path":"/dev/vg-a/fast", "lv_kernel_major":"253",
                   "lv_kernel_minor":"9", "lv_size":"1073741824", "lv_attr":"Cwi-aoC---", "lv_layout":"cache",
                   "origin":"[fast_corig]", "pool_lv":"[fast_cpool]", "data_percent":"98.10"},
                  {"vg_name":"vg-a", "lv_name":"safe", "lv_path":"/dev/vg-a/safe", "lv_kernel_major":"253",
                   "lv_kernel_minor":"10", "lv_size":"1073741824", "lv_attr":"rwi-aor---", "lv_layout":"raid,raid1",
                   "origin":"", "pool_lv":"", "data_percent":""}
              ]
          }
      ]
  }
"""

# 2.03.17 and later where lvm.conf asks for it (json_std): numbers, null, lists; a log of commands beside it.
LVS_STD = """
  {
      "report": [{"lv": [
          {"vg_name":"vg-a", "lv_name":"lv-root", "lv_path":"/dev/vg-a/lv-root", "lv_kernel_major":253,
           "lv_kernel_minor":3, "lv_size":5368709120, "lv_attr":"-wi-ao----", "lv_layout":["linear"], "origin":null,
           "pool_lv":null, "data_percent":null},
          {"vg_name":"vg-a", "lv_name":"s", "lv_path":"/dev/vg-a/s", "lv_kernel_major":-1, "lv_kernel_minor":-1,
           "lv_size":4194304, "lv_attr":"Swi-I-s---", "lv_layout":["linear"], "origin":"lv-root", "pool_lv":null,
           "data_percent":100.0}
      ]}],
      "log": [{"log_seq_num":"1", "log_type":"status", "log_message":"success"}]
  }
"""


def test_groups_and_their_extents():
    assert lvm.volume_groups(VGS) == [
        {"name": "vg-a", "size_bytes": 10733223936, "free_bytes": 0, "extent_bytes": 4194304},
        {"name": "vg--b", "size_bytes": 24373939404, "free_bytes": 24373939404, "extent_bytes": 33554432},
    ]


def test_names_with_hyphens_are_those_that_lvm_says_and_the_device_is_the_kernels():
    root = lvm.volumes(LVS)[0]
    assert (root["vg"], root["name"], root["path"], root["device"]) == (
        "vg-a", "lv-root", "/dev/vg-a/lv-root", "/dev/dm-3",
    )  # fmt: skip
    assert (root["size_bytes"], root["kind"], root["origin"], root["data_percent"]) == (
        5368709120,
        "linear",
        None,
        None,
    )


def test_snapshots_pools_and_thin_volumes():
    found = {volume["name"]: volume for volume in lvm.volumes(LVS)}
    assert {name: volume["kind"] for name, volume in found.items()} == {
        "lv-root": "linear",
        "phpborg-1a": "snapshot",
        "pool-0": "thin-pool",
        "thin-1": "thin",
        "fast": "other",
        "safe": "other",
    }
    assert (found["phpborg-1a"]["origin"], found["phpborg-1a"]["data_percent"]) == ("lv-root", 12.34)
    assert (found["pool-0"]["path"], found["pool-0"]["data_percent"]) == (None, 0.0)
    assert (found["thin-1"]["pool"], found["thin-1"]["origin"], found["thin-1"]["device"]) == ("pool-0", "thin-0", None)
    assert found["fast"]["pool"] == "fast_cpool"


def test_the_json_of_newer_versions_says_the_same():
    root, broken = lvm.volumes(LVS_STD)
    assert (root["device"], root["size_bytes"], root["kind"], root["pool"]) == (
        "/dev/dm-3", 5368709120, "linear", None,
    )  # fmt: skip
    assert (broken["kind"], broken["data_percent"], broken["device"]) == ("snapshot", 100.0, None)


def test_lvms_version():
    text = "  LVM version:     2.02.176(2) (2017-11-03)\n  Library version: 1.02.145 (2017-11-03)\n"
    assert lvm.version(text) == "2.02.176"
    assert lvm.version("sh: lvs: not found") is None


@pytest.mark.parametrize(
    ("builtin", "loadable", "loads", "possible"),
    [
        (
            "kernel/fs/ext4/ext4.ko\n",
            "kernel/drivers/md/dm-snapshot.ko.xz: kernel/drivers/md/dm-bufio.ko.xz\n",
            True,
            True,
        ),
        ("kernel/drivers/md/dm-snapshot.ko\n", "", True, True),
        ("", "kernel/drivers/md/dm-snapshot-merge.ko:\n", True, False),
        (None, None, False, False),
        (None, None, True, None),
    ],
)
def test_whether_the_kernel_can_make_snapshots(builtin, loadable, loads, possible):
    assert lvm.can_snapshot(builtin, loadable, loads) is possible


def test_a_tool_that_fails_is_quoted(monkeypatch: pytest.MonkeyPatch):
    look = base.Look({})
    said = {"lvs": base.Ran(5, "", "  /dev/sdb: open failed: No medium\n"), "vgs": base.Ran(0, VGS, "")}
    monkeypatch.setattr(look, "find", lambda *_: "/sbin/lvs")
    monkeypatch.setattr(look, "run", lambda argv, **_: said[argv[0]])
    facts = lvm.probe(look)
    assert facts["problem"] == "lvs failed: /dev/sdb: open failed: No medium"
    assert (len(facts["vgs"]), facts["lvs"]) == (2, [])


@pytest.mark.parametrize("probe", [lvm, btrfs, zfs])
def test_a_tool_that_is_missing_is_no_problem(probe, monkeypatch: pytest.MonkeyPatch):
    look = base.Look({})
    monkeypatch.setattr(look, "find", lambda *_: None)
    facts = probe.probe(look)
    assert (facts["installed"], facts["problem"]) == (False, None)


# --- btrfs -----------------------------------------------------------------------------------------

SHOW = """Label: 'it's a lab'  uuid: 6615de8f-1d26-4244-8f8a-7af7eb15c81a
\tTotal devices 2 FS bytes used 163840
\tdevid    1 size 209715200 used 109051904 path /dev/mapper/vg--a-lv--root
\tdevid    2 size 209715200 used 109051904 path /dev/loop 1

Label: none  uuid: aa15de8f-1d26-4244-8f8a-7af7eb15c81b
\tTotal devices 3 FS bytes used 147456
\tdevid    1 size 104857600 used 20971520 path /dev/sdc
\tdevid    2 size 0 used 0 path <missing disk> MISSING
\tdevid    3 size 0 used 0 path /dev/sdd MISSING

"""


def test_two_filesystems_of_several_devices():
    first, second = btrfs.filesystems(SHOW)
    assert (first["label"], first["size_bytes"], first["used_bytes"]) == ("it's a lab", 419430400, 163840)
    assert first["devices"] == ["/dev/mapper/vg--a-lv--root", "/dev/loop 1"]
    assert (second["label"], second["devices"]) == (None, ["/dev/sdc"])
    assert btrfs.filesystems("") == []


def mount(target: str, source: str, root: str, number: int) -> mounts.Mount:
    return {"target": target, "source": source, "root": root, "options": ["rw", f"subvolid={number}"]}


def test_a_mount_is_found_whatever_name_of_the_device_it_uses():
    own = btrfs.mounts_of(
        ["/dev/mapper/vg--a-lv--root", "/dev/loop1"],
        [mount("/a", "/dev/dm-0", "/", 5), mount("/b", "/dev/loop1", "/@", 256), mount("/c", "/dev/sdc", "/", 5)],
        lambda path: {"/dev/mapper/vg--a-lv--root": "/dev/dm-0"}.get(path, path),
    )
    assert [one["target"] for one in own] == ["/a", "/b"]


def test_paths_of_subvolumes_are_from_the_top_whichever_is_mounted():
    from_the_top = """ID 256 gen 7 top level 5 path @
ID 257 gen 7 top level 256 path @/a
ID 258 gen 7 top level 257 path @/a/b
ID 259 gen 7 top level 5 path other one
ID 260 gen 7 top level 259 path other one/x
"""
    from_below = from_the_top.replace("path @/", "path ")
    expected = {256: "@", 257: "@/a", 258: "@/a/b", 259: "other one", 260: "other one/x"}
    for text, first in ((from_the_top, mount("/top", "", "/", 5)), (from_below, mount("/", "", "/@", 256))):
        found = btrfs.subvolumes(text, [first, mount("/srv", "", "/other one", 259)])
        assert {one["id"]: one["path"] for one in found} == expected
        assert found[3]["mountpoint"] == "/srv"
    assert found[0]["mountpoint"] == "/"


# --- ZFS -------------------------------------------------------------------------------------------

ZFS_LIST = (
    "tank\tyes\t1024\t4096\t/tank\n"
    "tank/none\tno\t512\t4096\tnone\n"
    "tank/old\tyes\t512\t4096\tlegacy\n"
    "tank/with blank\tno\t512\t4096\t/srv/with\ttab\n"
    "tank/volume\t-\t8589934592\t4096\t-\n"
)


def test_datasets_and_where_they_really_are():
    found = {one["name"]: one for one in zfs.datasets(ZFS_LIST, {"tank": "/tank", "tank/old": "/srv/old"})}
    assert {name: one["mountpoint"] for name, one in found.items()} == {
        "tank": "/tank",
        "tank/none": None,
        "tank/old": "/srv/old",
        "tank/with blank": "/srv/with\ttab",
        "tank/volume": None,
    }
    assert [one["mounted"] for one in found.values()] == [True, False, True, False, False]
    assert found["tank/volume"]["used_bytes"] == 8589934592
    assert zfs.datasets("", {}) == []


def test_zfs_version():
    assert zfs.version(None, "zfs-2.1.11-1\nzfs-kmod-2.1.11-1\n") == "2.1.11-1"
    assert zfs.version("0.7.13-1\n", "unrecognized command 'version'") == "0.7.13-1"
    assert zfs.version(None, "unrecognized command") is None


def test_facts_of_any_name_are_json():
    assert json.loads(json.dumps(mounts.from_mountinfo(MOUNTINFO))) == mounts.from_mountinfo(MOUNTINFO)
