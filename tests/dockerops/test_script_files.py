"""How scripts put files in place, and back: their own functions, run by bash on trees with odd names."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from backups.borg import argv as commands
from dockerops.manifest import sum_of
from dockerops.script import SHARED, quoted
from tests.dockerops.rig import tree

SCRIPTS = Path(__file__).parents[2] / "dockerops/scripts"
ODD = os.fsdecode(b"caf\xe9 $(id)\n'q'")
SETTINGS = """
set -euo pipefail
STAGING=.phpborg-restore-0 KEPT=.phpborg-kept-0 UNDO=() DRY_RUN=no FINISHED=no STEP=0 LOG= PROTECT=aside
STOP_SECONDS=60 STEADY_SECONDS=1
declare -A KEPT_PLACES=() PLACES=() STOPPED_POLICY=() HELD_AT=() MADE=()
KEPT_CONTAINERS=() STAGINGS=() HELD=() HOLDER=phpborg-holder:0
"""


def run(place: Path, *lines: str) -> subprocess.CompletedProcess[bytes]:
    """These lines after all functions."""
    functions = [(SCRIPTS / name).read_text() for name in (*SHARED, "advanced.sh")]
    text = "\n".join((*functions, SETTINGS, *lines))
    return subprocess.run(["bash"], input=text.encode(), capture_output=True, check=False, cwd=place)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A target with old content, and new content for it that is staged when the place is settled."""
    for top, word in ((tmp_path / "target", "old"), (tmp_path / "new", "new")):
        (top / "deep" / ODD).mkdir(parents=True)
        for name in ("rows", ODD + "x", f"deep/{ODD}/file", ".hidden", f"only {word}"):
            (top / name).write_text(word)
        (top / "link").symlink_to(word)
    os.chmod(tmp_path / "new", 0o2750)
    return tmp_path


def call(place: Path, form: str, items: tuple[str, ...] = (), target: str = "target") -> str:
    words = [str(place / target), str(place), "/source", *items]
    return " ".join((form, *map(quoted, words)))


def settle(place: Path) -> str:
    """As before an extraction, and after it."""
    at = quoted(str(place))
    return f'settle {at} && cp -a {at}/new "${{PLACES[{at}]}}/$STAGING/source"'


def without_top_time(found: dict[bytes, object]) -> dict[bytes, object]:
    return {name: row for name, row in found.items() if name != b"."}


FORMS = {"exchange_whole": (), "exchange_entries": (), "exchange_items": ("rows", f"deep/{ODD}/file", "only new")}
FORMS_AND_FOLDERS = [*FORMS.items(), ("exchange_items", ("deep", "only new"))]


@pytest.mark.parametrize("form", FORMS)
def test_what_was_staged_is_in_place_and_what_was_there_comes_back(place: Path, form: str):
    before = without_top_time(tree(place / "target"))
    new = without_top_time(tree(place / "new"))
    done = run(place, settle(place), call(place, form, FORMS[form]))
    assert done.returncode == 0, done.stderr
    after = without_top_time(tree(place / "target"))
    if form == "exchange_items":
        assert (place / "target/rows").read_text() == "new"
        assert (place / "target/only old").read_text() == "old"
        assert (place / "target" / f"{ODD}x").read_text() == "old"
    else:
        assert after == new
        assert (place / "target").stat().st_mode == (0o42750)
    kept = [path.read_text() for path in (place / ".phpborg-kept-0").rglob("*") if path.is_file()]
    assert kept
    assert set(kept) == {"old"}
    assert before != after


@pytest.mark.parametrize("is_archived", [False, True])
def test_the_own_directory_of_a_filesystem_stays_unless_the_archive_has_it(place: Path, is_archived: bool):
    own = place / "target/lost+found"
    own.mkdir()
    (own / "#12").write_text("found")
    if is_archived:
        (place / "new/lost+found").mkdir()
    done = run(place, settle(place), call(place, "exchange_entries"))
    assert done.returncode == 0, done.stderr
    assert (own / "#12").exists() is not is_archived
    assert (place / ".phpborg-kept-0/source/lost+found").exists() is is_archived


@pytest.mark.parametrize(("held", "more"), [("", ""), ("disk", ", inside the volume disk")])
def test_where_it_lies_is_said_with_the_volume_that_has_to_be_mounted_for_it(place: Path, held: str, more: str):
    is_held = f"HELD_AT[{quoted(str(place))}]={held}"
    done = run(place, settle(place), call(place, "exchange_entries"), is_held, "finish")
    assert done.returncode == 0, done.stderr
    assert f"Kept: {place}/.phpborg-kept-0{more}\n" in done.stdout.decode()


@pytest.mark.parametrize("end", ["false", "kill -TERM $$; sleep 5", "kill -INT $$; sleep 5", "exit 0"])
@pytest.mark.parametrize(("form", "items"), FORMS_AND_FOLDERS)
def test_whatever_ends_it_early_puts_everything_back(place: Path, form: str, items: tuple[str, ...], end: str):
    before = tree(place)
    traps = "trap ended EXIT; trap interrupted INT TERM HUP"
    done = run(place, traps, settle(place), call(place, form, items), end)
    assert done.returncode != 0
    assert b"Everything is as it was." in done.stdout, done.stdout + done.stderr
    assert without_top_time(_without_times(tree(place))) == without_top_time(_without_times(before))


def test_a_folder_keeps_what_only_the_server_has(place: Path):
    (place / "target/deep" / ODD / "newer").write_text("since")
    (place / "new/deep/fresh/way").mkdir(parents=True)
    done = run(place, settle(place), call(place, "exchange_items", ("deep",)))
    assert done.returncode == 0, done.stderr
    deep = place / "target/deep"
    assert (deep / ODD / "newer").read_text() == "since"
    assert (deep / ODD / "file").read_text() == "new"
    assert (deep / "fresh/way").is_dir()
    assert (place / "target/rows").read_text() == "old"


def _without_times(found: dict[bytes, tuple[object, ...]]) -> dict[bytes, object]:
    """Directories have another time after entries went out and came in; files have not."""
    return {name: row[:4] if row[0] == b"" else row for name, row in found.items()}


def test_what_an_earlier_run_kept_is_not_overwritten(place: Path):
    kept = place / ".phpborg-kept-0/source"
    kept.mkdir(parents=True)
    (kept / "precious").write_text("from before")
    done = run(place, "trap ended EXIT", settle(place), call(place, "exchange_whole"))
    assert done.returncode != 0
    assert b"is there already" in done.stderr
    assert (kept / "precious").read_text() == "from before"
    assert (place / "target/rows").read_text() == "old"


LISTED = json.dumps({"archives": [{"name": "other", "id": "b" * 64}, {"name": "caf\xe9 $(id)", "id": "a" * 64}]})


@pytest.mark.parametrize(
    ("name", "identity", "said"),
    [
        ("caf\xe9 $(id)", "a" * 64, b""),
        ("caf\xe9 $(id)", "b" * 64, b"another one than that of the plan"),
        ("gone", "a" * 64, b"another one than that of the plan"),
    ],
)
def test_only_the_archive_of_the_plan_is_put_back(tmp_path: Path, name: str, identity: str, said: bytes):
    settings = f"ARCHIVE={quoted(name)} ARCHIVE_ID={identity}"
    done = run(tmp_path, "export LC_ALL=C", f"borg() {{ printf %s {quoted(LISTED)}; }}", settings, "check_archive")
    assert said in done.stderr
    assert (done.returncode == 0) is (said == b"")


@pytest.mark.parametrize("written", [b'{"format": 1}', b'{"format": 1}\n\n', b'{"caf\xc3\xa9": "\\udce9"}'])
def test_only_the_manifest_of_the_plan_is_taken(tmp_path: Path, written: bytes):
    (tmp_path / "manifest").write_bytes(written)
    settings = f"ARCHIVE=a MANIFEST_PATH=/m MANIFEST_SUM={sum_of(written)}"
    lines = ("export LC_ALL=C", "borg() { cat manifest; }", settings, "read_manifest", 'printf %s "$MANIFEST"')
    done = run(tmp_path, *lines)
    assert (done.returncode, done.stdout) == (0, written), done.stderr
    (tmp_path / "manifest").write_bytes(written + b" ")
    done = run(tmp_path, *lines)
    assert done.returncode != 0
    assert b"another one than that of the plan" in done.stderr


@pytest.mark.parametrize("line", ["create 1", "disconnect net name"])
def test_python_takes_no_module_from_the_current_directory(tmp_path: Path, line: str):
    (tmp_path / "json.py").write_text("open('harm', 'w')")
    stubs = ("d() { echo '[{}]'; }", "PLAN={} PYTHON_CODE='import json'")
    done = run(tmp_path, *stubs, line)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "harm").exists()


def foreign(place: Path) -> None:
    """Another account's directory."""
    os.chown(place, 4242, 4343)


@pytest.fixture
def home(place: Path) -> Path:
    """The place inside a directory of root's, which is another account's itself."""
    inside = place / "home"
    inside.mkdir()
    for name in ("target", "new"):
        (place / name).rename(inside / name)
    foreign(inside)
    return inside


@pytest.mark.parametrize("name", [".phpborg-kept-0", ".phpborg-restore-0"])
def test_another_account_cannot_choose_where_things_are_kept(home: Path, name: str):
    elsewhere = home.parent / "elsewhere"
    elsewhere.mkdir()
    (home / name).symlink_to(elsewhere)
    done = run(home, "trap ended EXIT", settle(home), call(home, "exchange_whole"), "FINISHED=yes")
    assert done.returncode == 0, done.stderr
    assert (home / "target/rows").read_text() == "new"
    assert not list(elsewhere.iterdir())
    assert (home.parent / ".phpborg-kept-0/source/rows").read_text() == "old"
    assert (home.parent / ".phpborg-kept-0").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("form", ["exchange_whole", "exchange_items"])
def test_a_directory_that_became_a_link_is_refused(home: Path, form: str):
    """Whoever owns a directory above the target puts a link to another in its place."""
    etc = home.parent / "etc"
    (etc / "app").mkdir(parents=True)
    (etc / "app/rows").write_text("of the system")
    (home / "deep").symlink_to(etc)
    before = tree(etc)
    done = run(home, "trap ended EXIT", settle(home), call(home, form, FORMS[form], "deep/app"))
    assert done.returncode != 0
    assert b"A link lies on the way" in done.stderr, done.stdout + done.stderr
    assert tree(etc) == before


@pytest.mark.parametrize("swap", ["ln -s {etc} {it}", "mkdir {it}", "mkdir -m 700 {it} && chown 4242 {it}"])
@pytest.mark.parametrize("name", [".phpborg-kept-0", ".phpborg-restore-0"])
def test_private_directories_that_were_swapped_are_refused(place: Path, name: str, swap: str):
    etc, it = place / "etc", place / name
    etc.mkdir()
    change = f"mv {it} {place}/taken && " + swap.format(etc=etc, it=it)
    done = run(place, "trap ended EXIT", settle(place), change, call(place, "exchange_whole"))
    assert done.returncode != 0
    assert b"somebody changed it" in done.stderr, done.stdout + done.stderr
    assert (place / "target/rows").read_text() == "old"
    assert not list(etc.iterdir())


@pytest.mark.parametrize("form", ["exchange_entries", "exchange_items"])
def test_what_a_container_gave_to_its_own_account_is_taken_back(place: Path, form: str):
    """The private directories lie in the volume, and databases that start give all in it to themselves."""
    target = place / "target"
    os.chown(target / "rows", 999, 998)
    before = tree(target)
    inside = "target/.phpborg-restore-0"
    stage = f"settle {quoted(str(target))} && cp -a {quoted(str(place / 'new'))} {inside}/source"
    words = [form, str(target), str(target), "/source", *FORMS[form]]
    chowns = "chown -hR 4242 target/.phpborg-*"
    if form == "exchange_entries":
        chowns = "find target ! -user 4242 -exec chown -h 4242 {} +"
    done = run(place, "trap ended EXIT", stage, " ".join(map(quoted, words)), chowns, "false")
    assert b"Everything is as it was." in done.stdout, done.stdout + done.stderr
    after = tree(target)
    deep = {name for name, row in after.items() if row[1] == 4242}
    assert deep <= {name for name in before if b"/" in name}  # the owners of what lay at the top are known
    assert _kinds(after) == _kinds(before)
    assert after[b"rows"][:2] == before[b"rows"][:2]


def _kinds(found: dict[bytes, tuple[object, ...]]) -> dict[bytes, object]:
    return {name: row[0] for name, row in found.items()}


def test_others_are_not_taken_for_the_private_directories_when_it_is_undone(place: Path):
    etc, it = place / "etc", place / ".phpborg-kept-0"
    etc.mkdir(mode=0o751)
    os.chown(etc, 4242, 4242)
    lines = ("trap ended EXIT", settle(place), call(place, "exchange_whole"))
    done = run(place, *lines, f"mv {it} taken && ln -s {etc} {it}", "false")
    assert b"somebody changed it" in done.stderr, done.stdout + done.stderr
    assert b"Not everything could be undone" in done.stdout
    assert (etc.stat().st_uid, etc.stat().st_mode & 0o777) == (4242, 0o751)


def test_a_filesystem_on_which_nothing_is_roots_alone_is_refused(home: Path):
    apart = "device_of() { printf '%s' \"$1\"; }"
    done = run(home, apart, "trap ended EXIT", settle(home), "echo settled")
    assert done.returncode != 0
    assert b"belongs to another account" in done.stderr
    assert b"settled" not in done.stdout
    assert sorted(path.name for path in home.iterdir()) == ["new", "target"]


def test_entries_are_not_exchanged_one_by_one_in_a_directory_of_another_account(place: Path):
    foreign(place / "target")
    before = tree(place / "target")
    done = run(place, "trap ended EXIT", settle(place), call(place, "exchange_entries"))
    assert done.returncode != 0
    assert b"belongs to another account" in done.stderr
    assert tree(place / "target") == before


@pytest.mark.parametrize(("mode", "good"), [(0o755, True), (0o1777, True), (0o777, False), (0o775, False)])
def test_a_directory_that_others_may_write_to_is_not_roots_alone(tmp_path: Path, mode: int, good: bool):
    tmp_path.chmod(mode)
    (tmp_path / "below").mkdir(mode=0o755)
    for path in (tmp_path, tmp_path / "below"):
        assert (run(tmp_path, f"is_roots {quoted(str(path))}").returncode == 0) is good
    (tmp_path / "link").symlink_to(tmp_path / "below")
    assert run(tmp_path, f"is_roots {quoted(str(tmp_path / 'link'))}").returncode != 0


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A real archive; answers what a script has to know of it."""
    top = tmp_path_factory.mktemp("archive")
    (top / "new/deep" / ODD).mkdir(parents=True)
    (top / "new/rows").write_text("new")
    words = {"BORG_REPO": str(top / "repo"), "BORG_BASE_DIR": str(top / "borg"), "BORG_PASSPHRASE": "x"}
    env = {**os.environ, **words}
    subprocess.run(["borg", "init", "--encryption", "repokey"], env=env, capture_output=True, check=True)
    subprocess.run(["borg", "create", "::one {{now}} {{}}", "new"], env=env, cwd=top, capture_output=True, check=True)
    return "\n".join(("ARCHIVE='one {now} {}'", *(f"export {name}={quoted(value)}" for name, value in words.items())))


ENDS = {
    "all arrives": ("", b"", 0),
    "a warning": ("exit 1", b"borg ended with 1", 1),
    "a warning of newer borgs": ("exit 107", b"borg ended with 107", 1),
    "a file is not there": ("rm new/rows", b"3 of 4 entries", 1),
    "one too many": ("touch new/more", b"5 of 4 entries", 1),
    "nothing of it": ("rm -r new", b"Not in the archive: /new", 1),
}


@pytest.mark.parametrize("end", ENDS)
def test_what_does_not_arrive_as_it_is_in_the_archive_is_no_success(tmp_path: Path, archive: str, end: str):
    then, text, status = ENDS[end]
    place, stub = tmp_path, tmp_path / "bin/borg"
    stub.parent.mkdir()
    # A real borg; what a broken disk or an attribute that cannot be set would do comes after it.
    then = f"[ $1 != extract ] || {{ {then or ':'}; }}"
    stub.write_text(f'#!/bin/sh\n{shutil.which("borg")} "$@" || exit $?\n{then}\n')
    stub.chmod(0o755)
    lines = ("trap ended EXIT", f"PATH={quoted(str(stub.parent))}:$PATH", f"extract {quoted(str(place))} /new")
    done = run(place, archive, *lines, "FINISHED=yes")
    assert done.returncode == status, done.stderr
    assert text in done.stderr
    assert (place / ".phpborg-restore-0").exists() is (status == 0)


def test_borg_is_asked_for_exactly_what_the_worker_asks_for(tmp_path: Path):
    """Also where a choice leaves things out: both extract the sources of the step, and nothing else."""
    paths = ["/srv/app", f"/srv/{ODD}", "/srv/it's; $(id) `x` *", "/srv/-x\ny"]
    made = "; ".join(f"mkdir -p ./{quoted(path[1:])}" for path in paths)
    fake = f"borg() {{ [ $1 = extract ] || {{ printf xxxx; return; }}; printf '%s\\0' \"$@\" >&3; {made}; }}"
    words = " ".join(map(quoted, paths))
    done = run(tmp_path, "ARCHIVE=one", fake, f"extract {quoted(str(tmp_path))} {words} 3>asked", "FINISHED=yes")
    assert done.returncode == 0, done.stderr
    asked = (tmp_path / "asked").read_bytes().split(b"\0")[:-1]
    worker = commands.extract("borg", "/r", "one", [os.fsencode(path) for path in paths])
    assert asked[-len(paths) :] == [os.fsencode(word) for word in worker[-len(paths) :]]
    assert {b"--numeric-ids", b"--sparse"} <= set(asked)
    assert not [word for word in asked if word.startswith((b"--exclude", b"--pattern"))]


def test_a_safety_archive_holds_what_was_there_and_not_what_was_extracted(place: Path, archive: str):
    odd = place / "target é $(id)\t'q' [*]"
    (place / "target").rename(odd)
    (odd / ".phpborg-restore-1").write_text("of others")
    at = quoted(str(odd))
    stage = f'settle {at} && cp -a new {at}/"$STAGING"/source'
    name = f"former {os.getpid()}"
    done = run(place, archive, stage, f"archive_former {quoted(name)} {at}", f"borg list --short ::{quoted(name)}")
    assert done.returncode == 0, done.stderr
    held = {line for line in done.stdout.decode(errors="surrogateescape").splitlines() if "phpborg-" in line}
    assert {line.rpartition("/")[2] for line in held} == {".phpborg-restore-1"}
    assert b"only old" in done.stdout
