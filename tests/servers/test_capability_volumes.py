"""On which volume a path lies, and whether it can be frozen there, follow from the facts of a report."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.utils import translation
from hypothesis import given, settings
from hypothesis import strategies as st

from servers.capabilities.advice import GB, GIB, WORDS, advise, classic_bytes
from servers.capabilities.cards import cards
from servers.capabilities.report import Report, parse
from servers.capabilities.storage import mapper_name
from servers.capabilities.volumes import Kind, common_volume, locate
from tests.support import reports
from tests.support.reports import btrfs, lv, lvm, mount, report, vg

EXTENT = 4 << 20


def where(*mounts: dict[str, Any], **facts: Any) -> Report:
    """A report of these mounts."""
    return parse(report(mounts={"mounts": list(mounts)}, **facts))


def test_the_longest_mount_point_holds_a_path_and_the_last_one_hides_the_others() -> None:
    found = where(
        mount("/", "/dev/a"),
        mount("/var/lib", "/dev/b"),
        mount("/var/lib/mysql", "/dev/c"),
        mount("/var/lib", "/dev/d"),
    )
    for path, source in {
        "/var/lib/mysql/shop": "/dev/c",
        "/var/lib/mysql": "/dev/c",
        "/var/lib/mysql2": "/dev/d",
        "/var/library": "/dev/a",
        "//var//lib/./x/": "/dev/d",
        "/": "/dev/a",
    }.items():
        assert (volume := locate(found, path))
        assert volume.name == source, path
    assert locate(where(), "/var") is None
    assert locate(parse({}), "/var") is None


@pytest.mark.parametrize(
    ("source", "device"),
    [
        ("/dev/mapper/vg--a-lv--root", "254:7"),
        ("/dev/vg-a/lv-root", "254:7"),
        ("/dev/dm-7", "254:7"),
        ("/dev/mapper/renamed", "253:7"),
    ],
)
def test_a_hyphenated_logical_volume_by_any_of_its_names(source: str, device: str) -> None:
    known = lvm(lv("vg", "a-lv--root", 6), lv("vg-a", "lv-root", 7))
    volume = locate(where(mount("/srv", source, "xfs", device=device), lvm=known), "/srv/pg two/main")
    assert volume
    assert (volume.kind, volume.name) == (Kind.LVM, "vg-a/lv-root")
    assert volume.arguments() == {"kind": "lvm", "vg": "vg-a", "lv": "lv-root"}
    assert volume.inside("/srv/pg two/main") == "/pg two/main"
    assert volume.inside("/srv") == "/"


def test_the_minor_number_of_another_kind_of_disk_is_no_logical_volume() -> None:
    volume = locate(where(mount("/srv", "/dev/sda7", device="8:7"), lvm=lvm(lv("vg", "data", 7))), "/srv")
    assert volume
    assert volume.kind is Kind.PLAIN


def test_inside_a_bind_mount_the_place_in_the_snapshot_is_that_of_its_source() -> None:
    found = where(
        mount("/", "/dev/vda1"),
        mount("/mnt/data", "/dev/vg/data", device="254:1"),
        mount("/var/lib/mysql", "/dev/vg/data", device="254:1", root="/db/my sql"),
        lvm=lvm(lv("vg", "data", 1), vgs=[vg("vg")]),
    )
    advice = advise(found, ["/var/lib/mysql/shop", "/mnt/data/log"], GB)
    assert advice.possible
    assert advice.inside == {"/var/lib/mysql/shop": "/db/my sql/shop", "/mnt/data/log": "/log"}


@pytest.mark.parametrize(
    ("mounts", "path", "subvolume", "inside"),
    [
        # The top is mounted; the data lies in a subvolume below it.
        ([mount("/srv", "/dev/vdb", "btrfs")], "/srv/@pg/15/main", "/@pg", "/15/main"),
        ([mount("/srv", "/dev/vdb", "btrfs")], "/srv/@home", "/@home", "/"),
        # In the top itself.
        ([mount("/srv", "/dev/vdb", "btrfs")], "/srv/plain/x", "/", "/plain/x"),
        # The subvolume has a mount of its own.
        ([mount("/data", "/dev/vdb", "btrfs", root="/@pg")], "/data/15", "/@pg", "/15"),
        # The innermost of nested ones.
        ([mount("/srv", "/dev/vdb", "btrfs")], "/srv/@pg/deep/inner/x", "/@pg/deep/inner", "/x"),
        # A bind mount of a folder inside the subvolume, which itself is mounted elsewhere.
        (
            [mount("/data", "/dev/vdb", "btrfs", root="/@pg"), mount("/b", "/dev/vdb", "btrfs", root="/@pg/15")],
            "/b/main",
            "/@pg",
            "/15/main",
        ),
    ],
)
def test_a_btrfs_subvolume(mounts: list[dict[str, Any]], path: str, subvolume: str, inside: str) -> None:
    known = btrfs("@pg", "<FS_TREE>/@pg/deep/inner", "@home")
    advice = advise(where(*mounts, btrfs=known), [path], None)
    assert advice.possible, advice.text
    assert advice.volume
    assert advice.volume.arguments() == {"kind": "btrfs", "device": "/dev/vdb", "subvolume": subvolume}
    assert advice.inside == {path: inside}
    assert advice.size_bytes is None


def test_btrfs_that_cannot_be_frozen_as_a_whole() -> None:
    known = btrfs("@pg", "@pg/main/old")
    part = [mount("/b", "/dev/vdb", "btrfs", root="/@pg/main")]
    whole = [mount("/srv", "/dev/vdb", "btrfs")]
    assert advise(where(*part, btrfs=btrfs("@pg", mountpoints=("/b",))), ["/b"], None).code == "btrfs-part"
    assert advise(where(*whole, btrfs=known), ["/srv/@pg/main"], None).code == "subvolume-below"
    assert advise(where(*whole, btrfs=known), ["/srv/@pg/main/old"], None).possible
    assert advise(where(*whole), ["/srv/@pg"], None).code == "btrfs-unknown"


def test_a_zfs_dataset() -> None:
    known = {"installed": True, "datasets": [{"name": "tank/pg", "mountpoint": "/pg", "mounted": True}]}
    advice = advise(where(mount("/pg", "tank/pg", "zfs"), zfs=known), ["/pg/15"], None)
    assert (advice.possible, advice.code, advice.inside) == (True, "zfs", {"/pg/15": "/15"})
    assert advice.volume
    assert advice.volume.arguments() == {"kind": "zfs", "dataset": "tank/pg"}


def test_what_is_mounted_inside_the_data_would_be_missing() -> None:
    data = mount("/var/lib/mysql", "/dev/vg/data", device="254:1")
    known = {"lvm": lvm(lv("vg", "data", 1), vgs=[vg("vg")])}
    inner = mount("/var/lib/mysql/big", "/dev/sdb1")
    refused = advise(where(data, inner, **known), ["/var/lib/mysql"], GB)
    assert (refused.possible, refused.code) == (False, "below")
    assert "/var/lib/mysql/big" in refused.text
    volatile = mount("/var/lib/mysql/tmp", "tmpfs", "tmpfs")
    assert advise(where(data, volatile, **known), ["/var/lib/mysql"], GB).possible
    assert advise(where(data, inner, **known), ["/var/lib/mysql/other"], GB).possible


def test_several_paths_on_one_volume_or_on_several() -> None:
    found = where(
        mount("/", "/dev/vda1"),
        mount("/pg", "/dev/vg/pg", device="254:1"),
        mount("/wal", "/dev/vg/wal", device="254:2"),
        lvm=lvm(lv("vg", "pg", 1), lv("vg", "wal", 2), vgs=[vg("vg")]),
    )
    assert (one := common_volume(found, ["/pg/15", "/pg/spaces"]).volume)
    assert one.name == "vg/pg"
    both = common_volume(found, ["/pg/15", "/wal"])
    assert both.volume is None
    assert [volume.name for volume in both.volumes] == ["vg/pg", "vg/wal"]
    refused = advise(found, ["/pg/15", "/wal"], GB)
    assert (refused.possible, refused.code) == (False, "several")
    assert "vg/pg, vg/wal" in refused.text
    assert advise(parse({}), ["/pg"], GB).code == "no-mount"
    assert advise(found, [], GB).code == "no-path"


# --- how large -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "free", "size", "wanted"),
    [
        (1 * GB, 100 * GB, GIB, GIB),  # at least 1 GiB
        (100 * GB, 100 * GB, 20 * GB, 20 * GB),  # a fifth
        (100 * GB + 10, 100 * GB, 10 * GB, 10 * GB),  # a tenth of what is large
        (50 * GB, 8 * GB, 7.6 * GB, 10 * GB),  # what the group has, minus 5 %
        (100 * GB, 10 * GB, 0, 20 * GB),  # below a tenth
        (1, 500 << 20, 475 << 20, GIB),
        (0, 0, 0, GIB),
        (1, EXTENT, 0, GIB),  # not even one extent
        (123_456_789_000, 10**15, 12_345_678_900, 12_345_678_900),
    ],
)
def test_the_size_of_a_classic_snapshot(data: int, free: int, size: float, wanted: int) -> None:
    got, usual = classic_bytes(data, free, EXTENT)
    assert got % EXTENT == 0
    assert usual % EXTENT == 0
    assert abs(got - size) < EXTENT
    assert 0 <= usual - wanted < EXTENT
    assert got <= free * 0.95 + 1


@settings(max_examples=200, deadline=None)
@given(data=st.integers(0, 10**15), free=st.integers(0, 10**15), extent=st.sampled_from([1 << 20, EXTENT, 1 << 30]))
def test_a_snapshot_never_takes_more_than_there_is_and_is_never_too_small(data: int, free: int, extent: int) -> None:
    size, wanted = classic_bytes(data, free, extent)
    assert size % extent == 0
    assert size <= min(free * 95 // 100, wanted)
    assert size == 0 or size * 10 >= data


def lvm_advice(data: int | None, free: int | None = 100 * GB, used: int | None = 100 * GB, **more: Any) -> Any:
    volume = lv("vg-a", "lv-data", 3, **more.pop("lv", {}))
    pool = lv("vg-a", "pool", 4, kind="thin-pool", data_percent=more.pop("pool_percent", 40.0))
    known = lvm(volume, pool, vgs=[{**vg("vg-a"), "free_bytes": free}], **more)
    disk = mount("/srv", "/dev/mapper/vg--a-lv--data", device="254:3", used_bytes=used)
    return advise(where(disk, lvm=known), ["/srv/db"], data)


def test_the_rule_is_told_in_words() -> None:
    with translation.override("en"):
        usual = lvm_advice(50 * GB)
        assert (usual.possible, usual.code) == (True, "lvm")
        for words in ("10 GB", "20%", "50 GB", "overflows"):
            assert words in usual.text.replace("\u00a0", " ")
        tight = lvm_advice(50 * GB, free=8 * GB)
        assert (tight.possible, tight.code) == (True, "lvm-tight")
        assert tight.size_bytes == 8 * GB * 95 // 100 // EXTENT * EXTENT
        full = lvm_advice(50 * GB, free=2 * GB)
        assert (full.possible, full.code, full.size_bytes) == (False, "lvm-full", None)
        for words in ("vg-a", "2 GB free", "5 GB", "vgextend"):
            assert words in full.text.replace("\u00a0", " ")


def test_what_is_not_known_is_not_taken_for_nothing() -> None:
    assert lvm_advice(None).size_bytes == lvm_advice(100 * GB).size_bytes  # as if the filesystem were all data
    assert lvm_advice(None, used=None).code == "lvm-size"
    assert lvm_advice(GB, free=None).code == "lvm-unknown"


def test_lvm_says_why_not() -> None:
    assert lvm_advice(GB, snapshots_possible=False).code == "lvm-kernel"
    assert lvm_advice(GB, snapshots_possible=None).possible
    assert lvm_advice(GB, lv={"kind": "snapshot", "attr": "swi-a-s---"}).code == "lvm-kind"
    assert lvm_advice(GB, lv={"kind": "other", "attr": "rwi-aor---"}).possible
    assert lvm_advice(GB, lv={"kind": "other", "attr": "pwi-a-----"}).code == "lvm-kind"
    thin = {"kind": "thin", "pool": "pool"}
    assert (lvm_advice(GB, lv=thin, free=0).possible, lvm_advice(GB, lv=thin).size_bytes) == (True, None)
    assert lvm_advice(GB, lv=thin, pool_percent=97.2).code == "pool-full"


def test_other_filesystems_say_why_not() -> None:
    assert advise(where(mount("/", "/dev/sda1")), ["/var/lib/mysql"], GB).code == "plain"
    assert advise(where(mount("/", "nas:/x", "nfs4")), ["/var/lib/mysql"], GB).code == "network"
    assert advise(where(mount("/", "x", "fuse.sshfs")), ["/var"], GB).code == "network"


@pytest.mark.parametrize("code", WORDS)
def test_every_sentence_has_its_facts(code: str) -> None:
    """Each code is met above, or here; a placeholder without a fact would raise."""
    found = [
        advise(where(mount("/", "/dev/sda1")), ["/x"], 1),
        advise(where(mount("/", "n:/x", "nfs")), ["/x"], 1),
        advise(where(mount("/srv", "/dev/vdb", "btrfs"), btrfs=btrfs("a", "a/b")), ["/srv/a"], None),
        advise(where(mount("/srv", "/dev/vdb", "btrfs"), btrfs=btrfs("a")), ["/srv/a"], None),
        advise(where(mount("/srv", "/dev/vdb", "btrfs")), ["/srv/a"], None),
        advise(where(mount("/b", "/dev/vdb", "btrfs", root="/a/x"), btrfs=btrfs("a")), ["/b"], None),
        advise(where(mount("/pg", "t/pg", "zfs")), ["/pg"], None),
        advise(where(mount("/", "/dev/a"), mount("/x/y", "/dev/b"), lvm=lvm()), ["/x", "/x/y"], None),
        advise(where(mount("/x", "t/x", "zfs"), mount("/x/y", "/dev/b")), ["/x"], None),
        advise(parse({}), ["/x"], 1),
        *(lvm_advice(GB, free=free) for free in (None, GB, GB // 100, 100 * GB)),
        lvm_advice(50 * GB, free=8 * GB),
        lvm_advice(None, used=None),
        lvm_advice(GB, snapshots_possible=False),
        lvm_advice(GB, lv={"kind": "thin-pool"}),
        lvm_advice(GB, lv={"kind": "thin", "pool": "pool"}),
        lvm_advice(GB, lv={"kind": "thin", "pool": "pool"}, pool_percent=99.0),
        *(card.advice for card in cards(parse(report(redis={"instances": [{"id": "6379", "contained": True}]})))),
        advise(parse({}), [], 1),
    ]
    by_code = {advice.code: advice for advice in found}
    assert code in by_code
    assert "{" not in by_code[code].text
    assert json.dumps(by_code[code].as_json())


def test_names_of_mapped_devices() -> None:
    assert mapper_name("vg-a", "lv-root") == "/dev/mapper/vg--a-lv--root"
    assert reports.debian()["probes"]["mounts"]["facts"]["mounts"][1]["source"] == mapper_name("vg-a", "lv-data")
