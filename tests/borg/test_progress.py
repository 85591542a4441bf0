"""Progress: merged, never back, never invented (case 11)."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from backups.borg.events import ArchiveProgress, Event, ProgressMessage, ProgressPercent, parse
from backups.borg.progress import Phase, Progress

SAMPLES = Path(__file__).parent / "samples"


def phase_of(progress: Progress) -> Phase:
    """Asked anew each time: a checker would remember the last answer."""
    return progress.phase


def counters(*values: int | None, path: str = "p", finished: bool = False) -> ArchiveProgress:
    original, compressed, deduplicated, nfiles = values
    return ArchiveProgress(original, compressed, deduplicated, nfiles, path, finished)


def test_the_end_without_counters_keeps_them() -> None:
    progress = Progress()
    progress.add(counters(5_000_000, 4_000_000, 1_000_000, 120))
    assert phase_of(progress) is Phase.READING
    (end,) = parse(b'{"time":1.0,"type":"archive_progress","finished":true}')
    progress.add(end)
    (saving,) = parse(
        b'{"message":"Saving files cache","operation":2,"msgid":"cache.commit","type":"progress_message",'
        b'"finished":false,"time":1.0}'
    )
    progress.add(saving)
    assert (progress.nfiles, progress.original_size) == (120, 5_000_000)
    assert phase_of(progress) is Phase.FINALISING
    assert progress.message == "Saving files cache"
    assert progress.share is None


def test_unknown_is_not_zero() -> None:
    assert (Progress().nfiles, Progress().share) == (None, None)
    progress = Progress()
    progress.add(counters(None, None, None, 3))
    assert (progress.nfiles, progress.original_size) == (3, None)


def test_a_checkpoint_is_not_the_end() -> None:
    progress = Progress()
    progress.add(counters(1, 1, 1, 1))
    progress.add(ProgressMessage(1, "cache.commit", "Saving chunks cache", False))
    assert phase_of(progress) is Phase.CHECKPOINT
    progress.add(counters(2, 2, 2, 2))
    assert phase_of(progress) is Phase.READING


def test_the_sample_ends_finalising() -> None:
    progress = Progress()
    for line in (SAMPLES / "sample_create_stderr.jsonl").open("rb"):
        for event in parse(line):
            progress.add(event)
    assert phase_of(progress) is Phase.FINALISING
    assert progress.nfiles == 0


def test_the_share_of_a_check_is_borgs_own() -> None:
    progress = Progress()
    progress.add(ProgressPercent(1, "check.rebuild", "", 25, 100, (), False))
    assert progress.share == 0.25
    progress.add(ProgressPercent(1, "check.rebuild", "", 10, 100, (), False))
    assert progress.share == 0.25
    progress.add(ProgressPercent(2, "check.verify", "", 1, 10, (), False))
    assert progress.share == 0.1
    progress.add(ProgressPercent(2, "check.verify", "", None, None, (), True))
    assert progress.share == 1
    assert phase_of(progress) is Phase.CHECKING


_number = st.none() | st.integers(0, 10**15)
_event: st.SearchStrategy[Event] = st.one_of(
    st.builds(ArchiveProgress, _number, _number, _number, _number, st.text(max_size=5), st.booleans()),
    st.builds(
        ProgressMessage,
        st.none() | st.integers(0, 5),
        st.sampled_from(["cache.commit", "cache.begin_transaction", "cache.sync", "extract", "check.x", ""]),
        st.text(max_size=5),
        st.booleans(),
    ),
    st.builds(
        ProgressPercent,
        st.none() | st.integers(0, 3),
        st.sampled_from(["repository.compact_segments", "check.x", "archive.delete"]),
        st.text(max_size=5),
        _number,
        _number,
        st.just(()),
        st.booleans(),
    ),
)


@given(st.lists(_event, max_size=40))
def test_whatever_the_order_counters_never_fall(events: list[Event]) -> None:
    progress = Progress()
    done = False
    for event in events:
        before = (progress.original_size, progress.compressed_size, progress.deduplicated_size, progress.nfiles)
        progress.add(event)
        after = (progress.original_size, progress.compressed_size, progress.deduplicated_size, progress.nfiles)
        for old, new in zip(before, after, strict=True):
            assert old is None or (new is not None and new >= old)
        if done:
            assert phase_of(progress) is Phase.FINALISING
        done = done or (isinstance(event, ArchiveProgress) and event.finished)
        assert progress.files_done == done
        assert progress.share is None or 0 <= progress.share <= 1
