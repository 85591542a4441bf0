"""How scripts put files in place, and back: their own functions, run by bash on trees with odd names."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from dockerops.script import quoted
from tests.dockerops.rig import tree

SCRIPTS = Path(__file__).parents[2] / "dockerops/scripts"
ODD = os.fsdecode(b"caf\xe9 $(id)\n'q'")
SETTINGS = """
set -euo pipefail
STAGING=.phpborg-restore-0 KEPT=.phpborg-kept-0 UNDO=() DRY_RUN=no FINISHED=no STEP=0 LOG= PROTECT=aside
declare -A KEPT_PLACES=()
KEPT_CONTAINERS=() STAGINGS=()
"""


def run(place: Path, *lines: str) -> subprocess.CompletedProcess[bytes]:
    """These lines after all functions."""
    functions = [(SCRIPTS / name).read_text() for name in ("common.sh", "advanced.sh")]
    text = "\n".join((*functions, SETTINGS, *lines))
    return subprocess.run(["bash"], input=text.encode(), capture_output=True, check=False, cwd=place)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A target with old content, and staged new content for it."""
    for top, word in ((tmp_path / "target", "old"), (tmp_path / ".phpborg-restore-0/source", "new")):
        (top / "deep" / ODD).mkdir(parents=True)
        for name in ("rows", ODD + "x", f"deep/{ODD}/file", ".hidden", f"only {word}"):
            (top / name).write_text(word)
        (top / "link").symlink_to(word)
    os.chmod(tmp_path / ".phpborg-restore-0/source", 0o2750)
    return tmp_path


def call(place: Path, form: str, items: tuple[str, ...] = ()) -> str:
    words = [str(place / "target"), str(place), "/source", *items]
    return " ".join((form, *map(quoted, words)))


def without_top_time(found: dict[bytes, object]) -> dict[bytes, object]:
    return {name: row for name, row in found.items() if name != b"."}


FORMS = {"exchange_whole": (), "exchange_entries": (), "exchange_items": ("rows", f"deep/{ODD}/file", "only new")}
FORMS_AND_FOLDERS = [*FORMS.items(), ("exchange_items", ("deep", "only new"))]


@pytest.mark.parametrize("form", FORMS)
def test_what_was_staged_is_in_place_and_what_was_there_comes_back(place: Path, form: str):
    before = without_top_time(tree(place / "target"))
    new = without_top_time(tree(place / ".phpborg-restore-0/source"))
    done = run(place, call(place, form, FORMS[form]))
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


@pytest.mark.parametrize("end", ["false", "kill -TERM $$; sleep 5", "kill -INT $$; sleep 5", "exit 0"])
@pytest.mark.parametrize(("form", "items"), FORMS_AND_FOLDERS)
def test_whatever_ends_it_early_puts_everything_back(place: Path, form: str, items: tuple[str, ...], end: str):
    before = tree(place)
    traps = "trap ended EXIT; trap interrupted INT TERM HUP"
    done = run(place, traps, call(place, form, items), end)
    assert done.returncode != 0
    assert b"Everything is as it was." in done.stdout, done.stdout + done.stderr
    assert without_top_time(_without_times(tree(place))) == without_top_time(_without_times(before))


def test_a_folder_keeps_what_only_the_server_has(place: Path):
    (place / "target/deep" / ODD / "newer").write_text("since")
    (place / ".phpborg-restore-0/source/deep/fresh/way").mkdir(parents=True)
    done = run(place, call(place, "exchange_items", ("deep",)))
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
    done = run(place, "trap ended EXIT", call(place, "exchange_whole"))
    assert done.returncode != 0
    assert b"is there already" in done.stderr
    assert (kept / "precious").read_text() == "from before"
    assert (place / "target/rows").read_text() == "old"
