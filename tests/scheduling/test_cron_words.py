"""Schedules as sentences, and presets to cron text and back."""

import pytest
from django.utils import translation
from hypothesis import given
from hypothesis import strategies as st

from phpborg.scheduling.cron import notes, parse, words
from phpborg.scheduling.presets import Preset, PresetKind, preset_of


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("0 2 * * *", "every day at 02:00"),
        ("5 4,16 * * *", "every day at 04:05 and 16:05"),
        ("0 3 1 * 1", "on the 1st or on Mondays at 03:00"),
        ("0 3 */2 * 1", "every 2 days from the 1st to the 31st and only on Mondays at 03:00"),
        ("0 3 1-31 * 1", "every day at 03:00"),
        ("0 0 * * 1-7", "every day at 00:00"),
        ("0 2 * * mon-fri", "from Monday to Friday at 02:00"),
        ("0 2 * * fri-sun", "from Friday to Sunday at 02:00"),
        ("0 2 * * sun,mon", "on Mondays and on Sundays at 02:00"),
        (
            "0 0 1,2,3,15,21,22,23,31 * *",
            "from the 1st to the 3rd, on the 15th, from the 21st to the 23rd and on the 31st at 00:00",
        ),
        ("0 0 2,3,11 6 *", "in June, on the 2nd, on the 3rd and on the 11th at 00:00"),
        ("0 2 * 1,3-10 *", "in January and from March to October, every day at 02:00"),
        ("* * * * *", "every minute"),
        ("*/15 * * * *", "every 15 minutes"),
        ("0,20,40 * * * *", "every 20 minutes"),
        ("*/40 * * * *", "every hour at minutes 0 and 40"),
        ("0 * * * *", "every hour at minute 0"),
        ("1-59/2 * * * *", "every hour at minutes 1 to 59 in steps of 2"),
        ("0-10 * * * *", "every hour at minutes 0 to 10"),
        ("*/15 * * * sat", "every 15 minutes, on Saturdays"),
        ("*/15 8-18 * * *", "every 15 minutes, from 08:00 to 18:59"),
        ("* 2 * * *", "every minute, from 02:00 to 02:59"),
        ("0,30 1,3,5,7 * * *", "every 30 minutes, in the hours 1, 3, 5 and 7"),
        ("0,40 1,3,5,8 * * *", "at minutes 0 and 40, in the hours 1, 3, 5 and 8"),
        ("0 */2 * * *", "every 2 hours from 00:00 to 22:00"),
        ("30 9-17 * * *", "every hour from 09:30 to 17:30"),
        ("0 1,2,4,5,6,7,9 * * *", "at minute 0, in the hours 1, 2, 4 to 7 and 9"),
    ],
)
def test_a_schedule_in_words(text, sentence):
    assert words(parse(text)) == sentence


def test_a_spread_time_is_told_as_it_falls():
    cron = parse("H H(2-4) * * *", seed="job")
    assert words(cron) == f"every day at {cron.hour.values[0]:02}:{cron.minute.values[0]:02}"


@given(
    st.lists(
        st.sampled_from(["*", "*/2", "*/5", "*/7", "1", "2,5", "1-4", "1-6/2", "H", "H/2", "6/1", "1,3-5"]),
        min_size=5,
        max_size=5,
    )
)
def test_every_schedule_has_words(fields):
    cron = parse(" ".join(fields), seed="s")
    for language in ("en", "fr"):
        with translation.override(language):
            said = words(cron)
            assert said.strip() == said != ""
            assert "{" not in said
            assert all(notes(cron)) or not notes(cron)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("*/40 * * * *", "start again at 0 in every hour"),
        ("0 */5 * * *", "start again at 0 on every day"),
        ("0 0 */2 * *", "start again at 1 in every month"),
        ("0 0 * * */2", "start again on Sunday"),
        ("0 0 1 */5 *", "start again in January"),
        ("0 3 1 * 1", "either is enough"),
        ("0 3 */2 * 1", "must both hold"),
        ("0 0 29 2 *", "leap years"),
        ("0 0 31 * *", "Months without"),
    ],
)
def test_what_may_surprise_is_said(text, says):
    assert any(says in note for note in notes(parse(text)))


@pytest.mark.parametrize("text", ["0 2 * * *", "*/15 * * * *", "0 */6 * * mon", "0 0 1 */3 *", "0 0 28 * *"])
def test_plain_schedules_need_no_note(text):
    assert notes(parse(text)) == []


PRESETS = st.one_of(
    st.builds(Preset, st.just(PresetKind.HOURLY), minute=st.integers(0, 59)),
    st.builds(Preset, st.just(PresetKind.DAILY), minute=st.integers(0, 59), hour=st.integers(0, 23)),
    st.builds(
        Preset,
        st.just(PresetKind.WEEKLY),
        minute=st.integers(0, 59),
        hour=st.integers(0, 23),
        weekdays=st.sets(st.integers(0, 6), min_size=1).map(lambda days: tuple(sorted(days))),
    ),
    st.builds(
        Preset, st.just(PresetKind.MONTHLY), minute=st.integers(0, 59), hour=st.integers(0, 23), day=st.integers(1, 31)
    ),
)


@given(PRESETS)
def test_a_preset_comes_back_from_its_text(preset):
    back = preset_of(preset.text)
    assert back is not None
    assert back.kind == preset.kind
    assert back.text == preset.text


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("30 * * * *", PresetKind.HOURLY),
        ("0 2 * * *", PresetKind.DAILY),
        ("0 2 * * mon,thu", PresetKind.WEEKLY),
        ("0 2 * * 7", PresetKind.WEEKLY),
        ("0 2 15 * *", PresetKind.MONTHLY),
        ("0 2 1 * 1", None),
        ("0 2 */31 * *", PresetKind.MONTHLY),
        ("H 2 * * *", None),
        ("0 2 * 1 *", None),
        ("0 2,3 * * *", None),
        ("0 * * * 1", None),
        ("*/5 * * * *", None),
        ("0 2 1,15 * *", None),
        ("nonsense", None),
    ],
)
def test_which_texts_are_presets(text, kind):
    found = preset_of(text)
    assert (found.kind if found else None) == kind
