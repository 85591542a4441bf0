"""Command lines: exact tables, and no value can ever be read as an option."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backups.borg import argv, specs
from backups.borg.argv import CreateOptions
from phpborg.errors import InvalidInput

R = "/srv/pool/jaga FS"


def test_create_says_everything_and_nothing_else() -> None:
    options = CreateOptions(
        sources=(b"/etc", "/srv/é".encode()),
        excludes=("sh:/etc/**/*.bak", "/etc/-rf"),
        one_file_system=True,
        compression="auto,zstd,3",
        upload_rate_kib=512,
        checkpoint_seconds=900,
        comment="{now} --x",
        exclude_caches=True,
    )
    assert argv.create("borg", "ssh://phpborg/srv/r", "n", options, lock_wait=7) == (
        "borg", "create", "--log-json", "--lock-wait=7", "--json", "--progress", "--list", "--filter=CE",
        "--compression=auto,zstd,3", "--checkpoint-interval=900", "--upload-ratelimit=512", "--comment={{now}} --x",
        "--files-cache=ctime,size,inode", "--one-file-system", "--exclude-caches",
        "--exclude=sh:/etc/**/*.bak", "--exclude=/etc/-rf",
        "--", "ssh://phpborg/srv/r::n", b"/etc", "/srv/é".encode(),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("make", "words", "end"),
    [(argv.create_from_streams, "create", ()), (argv.import_tar, "import-tar", ("-",))],
)
def test_streams_are_an_archive_of_their_own(make, words, end) -> None:
    line = make("borg", "ssh://phpborg/srv/r", "n", CreateOptions(compression="lz4"), lock_wait=7)
    assert line == (
        "borg", words, "--log-json", "--lock-wait=7", "--json", "--progress", "--list", "--filter=CE",
        "--compression=lz4", "--checkpoint-interval=900", "--", "ssh://phpborg/srv/r::n", *end,
    )  # fmt: skip
    for beside in (CreateOptions(sources=(b"/etc",)), CreateOptions(excludes=("/x",))):
        with pytest.raises(ValueError, match=r"of (its|their) own"):
            make("borg", R, "n", beside)


def test_create_lists_each_file_only_when_asked() -> None:
    assert "--filter=CE" not in argv.create("borg", R, "n", CreateOptions((b"/etc",), list_files=True))


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (argv.init("b", R, encryption="repokey"), ("b", "init", "--log-json", "--encryption=repokey", "--", R)),
        (
            argv.list_archives("b", R, checkpoints=True, lock_wait=1),
            ("b", "list", "--log-json", "--lock-wait=1", "--json", "--consider-checkpoints", "--", R),
        ),
        (
            argv.list_archives("b", R, last=1, bypass_lock=True),
            ("b", "list", "--log-json", "--bypass-lock", "--json", "--last=1", "--", R),
        ),
        (
            argv.info("b", R, " lead", lock_wait=1),
            ("b", "info", "--log-json", "--lock-wait=1", "--json", "--", R + ":: lead"),
        ),
        (
            argv.extract("b", R, "a::b", [b"sh:z", b"/*.txt", b"-rf/x"], strip_components=2, lock_wait=1),
            ("b", "extract", "--log-json", "--lock-wait=1", "--strip-components=2", "--numeric-ids", "--sparse",
             "--progress", "--", R + "::a::b", b"pp:sh:z", b"pp:*.txt", b"pp:-rf/x"),
        ),
        (
            argv.check("b", R, "data", lock_wait=1),
            ("b", "check", "--log-json", "--lock-wait=1", "--progress", "--verify-data", "--", R),
        ),
        (
            argv.compact("b", R, threshold=20, lock_wait=1),
            ("b", "compact", "--log-json", "--lock-wait=1", "--info", "--progress", "--threshold=20", "--", R),
        ),
        (
            argv.delete("b", R, ["-rf", "--force", "né"], lock_wait=1),
            ("b", "delete", "--log-json", "--lock-wait=1", "--progress", "--", R + "::-rf", "--force", "né"),
        ),
        (
            argv.mount("b", R, "n", "/mnt/x y", options=["allow_other", "uid=5"], lock_wait=1),
            ("b", "mount", "--log-json", "--lock-wait=1", "-oallow_other,uid=5", "--", R + "::n", "/mnt/x y"),
        ),
        (argv.serve("b", [R]), ("b", "serve", "--append-only", f"--restrict-to-repository={R}")),
        (argv.key_export("b", R, format="paper"), ("b", "key", "export", "--log-json", "--paper", "--", R)),
        (argv.break_lock("b", R), ("b", "break-lock", "--log-json", "--", R)),
        (argv.config("b", R, "append_only", "1"), ("b", "config", "--log-json", "--", R, "append_only", "1")),
    ],
)  # fmt: skip
def test_table(made: argv.Argv, wanted: argv.Argv) -> None:
    assert made == wanted


def test_nothing_that_destroys_more_than_asked_can_be_built() -> None:
    with pytest.raises(ValueError, match="delete the repository"):
        argv.delete("b", R, [])
    with pytest.raises(ValueError, match="restore everything"):
        argv.extract("b", R, "n", [])
    with pytest.raises(ValueError, match="serve them all"):
        argv.serve("b", [])
    for awkward in ("a::b", "x{now}", "x}"):
        with pytest.raises(ValueError, match="alone"):
            argv.delete("b", R, ["n", awkward])


@pytest.mark.parametrize("path", [b"", b"/", b"a//b", b"../x", b"a/..", b"./a", b"a\0b"])
def test_what_is_no_archived_path_is_refused(path: bytes) -> None:
    with pytest.raises(ValueError, match="not a path"):
        argv.exact(path)


@pytest.mark.parametrize("option", ["allow_other,suid", "suid", "uid=x", "uid=-1", "dev", "umask=9", "allow_other\n"])
def test_foreign_mount_options_are_refused(option: str) -> None:
    with pytest.raises(ValueError, match="mount option"):
        argv.mount("b", R, "n", "/mnt", options=[option])


@pytest.mark.parametrize(
    "value",
    ["none", "lz4", "zstd", "zstd,1", "zstd,22", "zlib,0", "zlib,9", "lzma,6", "auto,lz4", "auto,zstd,9"],
)
def test_compressions_that_exist(value: str) -> None:
    assert specs.compression(value) == value


@pytest.mark.parametrize(
    "value",
    ["", "zstd,0", "zstd,23", "zlib,10", "lzma,7", "lz4,1", "none,1", "auto", "auto,none", "auto,auto,lz4", "zstd,-1",
     "zstd,3 --x", "zstd\n", "ZSTD", "zstd,٣", "obfuscate,1,none"],
)  # fmt: skip
def test_compressions_that_do_not(value: str) -> None:
    with pytest.raises(InvalidInput):
        specs.compression(value)


def test_key_files_are_refused_with_the_reason() -> None:
    with pytest.raises(InvalidInput, match="one machine only"):
        specs.encryption("keyfile-blake2")
    with pytest.raises(InvalidInput):
        specs.encryption("rot13")
    assert specs.encryption("repokey-blake2").conceals
    assert not specs.encryption("authenticated").conceals


@pytest.mark.parametrize(
    "path", ["/srv/r", "/srv/jaga FS", "/srv/a:b", "/srv/{x}", "/srv/é'\"", "/srv/-rf", "/a@b:c/d"]
)
def test_repository_paths_that_work(path: str) -> None:
    assert specs.repository_path(path) == path
    assert specs.location(f"ssh://phpborg{path}")


@pytest.mark.parametrize(
    "path",
    ["", "srv", "-rf", "/", "/a/", "/a//b", "/a/../b", "/a/./b", "/a::b", "/a:", "/a\nb", "/a\0", "ssh://x/y", "x:/y"],
)
def test_repository_paths_that_do_not(path: str) -> None:
    with pytest.raises(InvalidInput):
        specs.repository_path(path)


@pytest.mark.parametrize(
    "place", ["ssh://u@127.0.0.1:22022/./repo", "ssh://u@[::1]:22022/~/repo", "ssh://phpborg/srv/x"]
)
def test_login_relative_addresses(place: str) -> None:
    assert specs.location(place) == place


@pytest.mark.parametrize(
    "place", ["ssh://-oProxyCommand=x/y", "ssh://h", "ssh://h/", "ssh://a b/c", "ssh://h/a/../b", "ssh://h/x::y"]
)
def test_addresses_that_are_none(place: str) -> None:
    with pytest.raises(InvalidInput):
        specs.location(place)


@pytest.mark.parametrize("pattern", ["/x", "*.iso", "sh:**/x", "re:^home/[^/]+/x$", "pp:x", "pf:x", "fm:*x*"])
def test_patterns_that_work(pattern: str) -> None:
    assert specs.exclude(pattern) == pattern


@pytest.mark.parametrize(
    "pattern", ["", "x", "-rf", "--list", "re:(", "sh:", "/x\n/y", "/x\0", "/x\udcff", "! /x", "+ /x", "rel/x"]
)
def test_patterns_that_do_not(pattern: str) -> None:
    with pytest.raises(InvalidInput):
        specs.exclude(pattern)


@pytest.mark.parametrize("value", [b"etc", b"-rf", b"", b"/a/../b", b"/a\0", b"/srv/caf\xe9"])
def test_sources_that_are_none(value: bytes) -> None:
    with pytest.raises(InvalidInput):
        argv.create("b", R, "n", CreateOptions((value,)))


@pytest.mark.parametrize("name", ["", "a/b", "a\0"])
def test_names_that_borg_refuses(name: str) -> None:
    with pytest.raises(InvalidInput):
        argv.info("b", R, name)


@pytest.mark.parametrize("secret", ["", "a\nb", "a\r", "\0", "\ud800"])
def test_passphrases_that_borg_would_change(secret: str) -> None:
    with pytest.raises(InvalidInput):
        specs.passphrase(secret, specs.Encryption.REPOKEY)
    assert specs.passphrase("", specs.Encryption.NONE) == ""


def test_environment() -> None:
    plain = argv.env(base_dir="/b", encryption="repokey", passphrase_fd=5, rsh="relay", host_id="h@1")
    assert plain == {
        "BORG_BASE_DIR": "/b", "BORG_EXIT_CODES": "modern", "BORG_DISPLAY_PASSPHRASE": "no", "TZ": "UTC",
        "LC_ALL": "C.UTF-8", "BORG_PASSPHRASE_FD": "5", "BORG_RSH": "relay", "BORG_HOST_ID": "h@1",
    }  # fmt: skip
    # Borg asks about `authenticated` repositories as it does about unencrypted ones.
    for mode in ("none", "authenticated", "authenticated-blake2"):
        assert argv.env(base_dir="/b", encryption=mode)["BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK"] == "yes"
    assert argv.env(base_dir="/b", encryption="repokey", relocated_ok=True)["BORG_RELOCATED_REPO_ACCESS_IS_OK"] == "yes"


_names = st.text(min_size=1).filter(lambda name: "/" not in name and "\0" not in name)


@given(name=_names, path=st.text(min_size=1).filter(lambda text: "\0" not in text))
def test_values_never_become_options(name: str, path: str) -> None:
    """Before `--` stand only options of ours, each with its value glued; after it, what was given."""
    command = argv.create("b", R, name, CreateOptions((b"/" + path.replace("..", "x").encode(),), comment=name))
    dashes = command.index("--")
    assert all(str(word).startswith("--") for word in command[2:dashes])
    assert str(command[dashes + 1]).startswith(R + "::")
    assert all(isinstance(word, bytes) and word.startswith(b"/") for word in command[dashes + 2 :])
