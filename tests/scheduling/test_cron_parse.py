"""What a cron text may hold, and the sentence for what it may not."""

import pytest

from phpborg.errors import PhpBorgError
from phpborg.scheduling.cron import CronInvalid, parse


@pytest.mark.parametrize(
    ("text", "key", "says"),
    [
        ("", "expression", "five fields"),
        ("* * * *", "expression", "it has 4"),
        ("* * * * * *", "expression", "no seconds"),
        ("0 0 1 1 * 2030 7", "expression", "7 fields"),
        ("@daily", "expression", "@daily"),
        ("0 " * 300, "expression", "longer"),
        ("60 * * * *", "minute", "“60” is not between 0 and 59"),
        ("-1 * * * *", "minute", "“-1”"),
        ("1.5 * * * *", "minute", "“1.5”"),
        ("99999999999999999999 * * * *", "minute", "not between"),
        ("a * * * *", "minute", "“A” is not a number"),
        ("٣ * * * *", "minute", "“٣”"),
        ("1,,2 * * * *", "minute", "empty place"),
        (", * * * *", "minute", "empty place"),
        ("1- * * * *", "minute", "“1-”"),
        ("*/0 * * * *", "minute", "1 or more"),
        ("*/61 * * * *", "minute", "“61” is larger"),
        ("*/99999999999999 * * * *", "minute", "larger"),
        ("*/ * * * *", "minute", "“*/”"),
        ("*-5 * * * *", "minute", "“*-5”"),
        ("H(5-1) * * * *", "minute", "backwards"),
        ("H(0-60) * * * *", "minute", "“60”"),
        ("H-5 * * * *", "minute", "“H” is not a number"),
        ("0 24 * * *", "hour", "“24”"),
        ("0 22-2 * * *", "hour", "write “22-23,0-2”"),
        ("0 0 0 * *", "day", "“0”"),
        ("0 0 32 * *", "day", "“32”"),
        ("0 0 L * *", "day", "“L” is not supported"),
        ("0 0 LW * *", "day", "“LW” is not supported"),
        ("0 0 15W * *", "day", "“15W” is not supported"),
        ("0 0 ? * *", "day", "“?” is not supported"),
        ("0 0 * 13 *", "month", "“13”"),
        ("0 0 * foo *", "month", "JAN"),
        ("0 0 * mon *", "month", "“MON”"),
        ("0 0 * * 8", "weekday", "between 0 and 7"),
        ("0 0 * * 5#2", "weekday", "“5#2” is not supported"),
        ("0 0 * * 5L", "weekday", "“5L” is not supported"),
        ("0 0 * * friL", "weekday", "“FRIL” is not supported"),
        ("0 0 * * monday", "weekday", "MON"),
        ("0 0 * * fri-mon", "weekday", "write “FRI-SAT,SUN-MON”"),
        ("0 0 31 2 *", "day", "never comes"),
        ("0 0 30 2 *", "day", "never comes"),
        ("0 0 31 4,6,9,11 *", "day", "never comes"),
        ("0 0 30-31 feb *", "day", "never comes"),
        ("0 * 31 2 *", "day", "never comes"),
        ("0 0 31 2 */2", "day", "never comes"),
    ],
)
def test_a_bad_text_is_refused_with_the_field_and_the_problem(text, key, says):
    with pytest.raises(CronInvalid) as refused:
        parse(text)
    assert refused.value.key == key
    assert says in refused.value.problem
    assert refused.value.problem in str(refused.value)
    assert isinstance(refused.value, PhpBorgError)


@pytest.mark.parametrize(
    ("text", "field", "values"),
    [
        ("5/15 * * * *", "minute", (5, 20, 35, 50)),
        ("*/60 * * * *", "minute", (0,)),
        ("1-10/4,3,3 * * * *", "minute", (1, 3, 5, 9)),
        ("0 8-8 * * *", "hour", (8,)),
        ("0 0-23/6 * * *", "hour", (0, 6, 12, 18)),
        ("0 0 28-31 * *", "day", (28, 29, 30, 31)),
        ("0 0 1 jan,Jul-SEP *", "month", (1, 7, 8, 9)),
        ("0 0 1 */12 *", "month", (1,)),
        ("0 0 * * 0-7", "weekday", (0, 1, 2, 3, 4, 5, 6)),
        ("0 0 * * 5-7", "weekday", (0, 5, 6)),
        ("0 0 * * sat-sun", "weekday", (0, 6)),
        ("0 0 * * sun-tue", "weekday", (0, 1, 2)),
        ("0 0 * * 7-2", "weekday", (0, 1, 2)),
        ("0 0 * * sun-sun", "weekday", (0,)),
        ("0 0 * * 1-7/2", "weekday", (0, 1, 3, 5)),
        ("0 0 * * */2", "weekday", (0, 2, 4, 6)),
        ("0 0 31 2 1", "day", (31,)),
        ("0 0 29 2 *", "day", (29,)),
        ("  0\t0 *  * *\n", "minute", (0,)),
    ],
)
def test_a_good_text_means(text, field, values):
    assert getattr(parse(text), field).values == values


def test_the_text_is_kept_in_one_spelling():
    assert parse(" 0  2 * jan mon-fri ").text == "0 2 * JAN MON-FRI"
    assert parse(parse("h/15 h(0-5) * * *").text).text == "H/15 H(0-5) * * *"


class TestSpread:
    def test_the_same_seed_gives_the_same_time(self):
        assert parse("H H * * *", seed="job-1") == parse("H H * * *", seed="job-1")
        assert parse("H H * * *").spread
        assert not parse("0 2 * * *").spread

    def test_other_seeds_spread_over_the_whole_range(self):
        crons = [parse("H H(0-5) H * *", seed=str(n)) for n in range(3000)]
        assert {cron.minute.values[0] for cron in crons} == set(range(60))
        assert {cron.hour.values[0] for cron in crons} == set(range(6))
        # A day that every month has.
        assert {cron.day.values[0] for cron in crons} == set(range(1, 29))

    def test_a_step_keeps_its_distance_and_starts_within_the_first_step(self):
        starts = set()
        for n in range(500):
            values = parse("H/15 * * * *", seed=str(n)).minute.values
            starts.add(values[0])
            assert values == tuple(range(values[0], 60, 15))
            assert len(values) == 4
        assert starts == set(range(15))

    def test_a_range_holds(self):
        for n in range(300):
            assert parse("H(0-29) * * * *", seed=str(n)).minute.values[0] < 30
            values = parse("H(0-29)/10 * * * *", seed=str(n)).minute.values
            assert len(values) == 3
            assert values[-1] < 30
            assert parse("0 0 * * H(sat-sun)", seed=str(n)).weekday.values[0] in {0, 6}

    def test_fields_are_spread_independently(self):
        same = sum(
            cron.minute.values[0] % 24 == cron.hour.values[0]
            for cron in (parse("H H * * *", seed=str(n)) for n in range(480))
        )
        assert same < 60

    def test_in_a_list(self):
        values = parse("H(0-9),30 * * * *", seed="x").minute.values
        assert values[0] < 10
        assert values[1] == 30
