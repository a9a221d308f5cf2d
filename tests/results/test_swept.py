"""What the points of a curve differ in: levels as always, or times since programming."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noiseproof import stats
from noiseproof.results.curves import as_json, curves_of, paired_difference, way_of, where_of
from noiseproof.results.swept import Swept, in_order, swept_by
from noiseproof.specs import parse, parse_time
from tests.report.aged import CHIPS, DAY, ON_CHIP, TIMES, aged, chips, clean

TIME = swept_by("device(pcm, time=1d)")
LEVEL = swept_by("gaussian(0.1, reference=max)")
times = st.lists(st.none() | st.floats(0, 3e9), min_size=1, max_size=9)


# --- words ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [("programmed", "programmed"), ("0s", "0 s"), ("3600s", "1 h"), ("10min", "10 min")],
)
def test_a_time_is_said_with_its_unit_apart(text: str, words: str) -> None:
    assert TIME.short(parse_time(text)) == words
    assert TIME.text(parse_time(text), alone=True) == words


def test_a_level_is_said_as_a_number_and_zero_as_no_noise() -> None:
    assert [LEVEL.short(v) for v in (None, 0.0, 0.5)] == ["-", "0", "0.5"]
    assert [LEVEL.text(v, alone=True) for v in (None, 0.0, 0.5)] == [
        "no level",
        "no noise",
        "level 0.5",
    ]
    assert LEVEL.text(0.0, alone=False) == "level 0"


@pytest.mark.parametrize(
    ("noise", "axis"),
    [
        ("gaussian(0.1, reference=max)", "noise level (sigma / max per tensor)"),
        ("gaussian(0.1, reference=absolute)", "noise level (sigma, in units of the weights)"),
        ("own(mine:drift, level=0.1)", "noise level"),
        ("lognormal(0.1)", "noise level (sigma of log weight)"),
        ("stuck(0.1)", "probability stuck"),
        ("quantize(bits=4)", "no level"),
        ("gaussian(0.1) + device(pcm, time=1d)", "time since programming"),
    ],
)
def test_the_axis_says_what_is_swept(noise: str, axis: str) -> None:
    assert swept_by(noise).axis == axis


# --- places --------------------------------------------------------------------------------------


@given(times)
def test_times_stand_in_their_order_and_what_is_programmed_before_all(values: list[float]) -> None:
    ordered = in_order(values)
    places = [TIME.place(value) for value in ordered]
    assert None not in places
    assert places == sorted(places)  # type: ignore[type-var]


def test_a_level_stands_where_it_is_and_no_level_nowhere() -> None:
    assert LEVEL.place(0.25) == 0.25
    assert LEVEL.place(None) is None


@given(times, st.integers(1, 12))
def test_names_on_an_axis_of_times_are_apart_and_within_it(
    values: list[float | None], room: int
) -> None:
    ticks = TIME.ticks(values, room=room)
    ordered = in_order(values)
    low, high = TIME.place(ordered[0]), TIME.place(ordered[-1])
    assert low is not None
    assert high is not None
    places = [x for x, text in ticks if not text.startswith("\n")]
    assert places == sorted(places)
    assert all(low <= x <= high for x, _ in ticks)
    assert all(b - a > (high - low) / room for a, b in pairwise(places))
    assert (None in values) == any(text == "\nprogrammed" for _, text in ticks)


def test_an_axis_from_programming_to_a_year_names_what_a_reader_looks_for() -> None:
    said = [text for _, text in TIME.ticks(TIMES, room=20)]
    assert said == ["\nprogrammed", "0 s", "1 min", "1 h", "1 d", "30 d", "1 y"]
    assert [text for _, text in TIME.ticks([25.0, 30.0], room=9)] == ["25 s", "30 s"]
    assert LEVEL.ticks([0.1, 0.2], room=9) == []


# --- curves --------------------------------------------------------------------------------------


def test_the_points_of_a_curve_over_time_come_in_the_order_of_time() -> None:
    rows = aged((("off", ""),))
    (curve,) = curves_of([rows[0], *reversed(rows[1:])])
    assert curve.levels == TIMES
    assert curve.family == "device(pcm, time=time)"
    assert curve.swept == Swept(parse(curve.first.noise))
    assert "time" in str(curve).splitlines()[2]
    assert "30 d" in str(curve)
    assert "2592000" not in str(curve)


def test_the_document_gives_times_in_seconds_and_all_that_happens_to_the_chips() -> None:
    rows = [replace(row, mvm="" if row.noise == "none" else "adc(8)") for row in aged()]
    found = as_json(curves_of(rows))
    points = found["curves"][: len(TIMES)]
    assert [(point["time"], point["level"]) for point in points] == [(t, None) for t in TIMES]
    assert [p["noise"] for p in points][:2] == [
        "device(pcm, time=programmed)",
        "device(pcm, time=0s)",
    ]
    assert {p["compensate"] for p in found["curves"]} == {"", "scalar"}
    for name, value in {**ON_CHIP, "mvm": "adc(8)", "dtype": ""}.items():
        assert {point[name] for point in found["curves"]} == {value}
    averages = found["average_normalised"]
    assert [(one["recalibrate"], one["compensate"]) for one in averages][1] == ("off", "scalar")
    assert averages[0]["times"] == list(TIMES)
    assert averages[0]["levels"] is None


def test_a_curve_over_levels_has_no_times() -> None:
    noise = {"noise": "gaussian(0.1, reference=std, scope=tensor)", "level": 0.1}
    rows = [replace(row, **noise, mapping="", hardware="") for row in chips(0.8, 0.0)]
    (curve,) = curves_of([clean(), *rows])
    (point,) = curve.as_json()
    assert (point["level"], point["time"]) == (0.1, None)
    (record,) = curve.records()
    assert (record["level"], record["time"], record["hardware"]) == (0.1, None, "")
    with pytest.raises(ValueError, match="one curve is over levels of noise, the other over time"):
        curve.difference(curves_of(aged())[0])


def test_compensation_is_paired_by_chip_at_each_time() -> None:
    """Independently: from the scores by chip, in another order."""
    off, scalar, match, both = curves_of(aged())
    assert [way_of(c.first) for c in (off, scalar, match, both)] == [
        "off",
        "compensate scalar",
        "match(200)",
        "match(200), compensate scalar",
    ]
    for after, before in ((scalar, off), (match, off), (both, match)):
        found = after.difference(before)
        for place, time in enumerate(TIMES):
            a = {row.chip: row.score for row in reversed(after.points[place].rows)}
            b = {row.chip: row.score for row in before.points[place].rows}
            steps = [a[chip] - b[chip] for chip in range(CHIPS)]
            assert found[time].ends == pytest.approx(stats.t_interval(steps).ends)


def test_two_times_of_the_same_chips_are_paired() -> None:
    (curve,) = curves_of(aged((("off", "scalar"),)))
    changes = curve.changes()
    assert list(changes) == list(TIMES[1:])
    at = {point.level: point for point in curve.points}
    assert changes[DAY] == paired_difference(at[DAY], at[None])
    steps = [a - b for a, b in zip(at[DAY].by_chip, at[None].by_chip, strict=True)]
    assert changes[DAY].ends == pytest.approx(stats.t_interval(steps).ends)
    alone = stats.welch_interval(at[DAY].by_chip, at[None].by_chip)
    assert changes[DAY].high - changes[DAY].low < alone.high - alone.low


def test_the_condition_names_the_hardware_and_what_happens_at_products() -> None:
    (row, *_) = chips(0.8, DAY, mvm="adc(8)")
    assert where_of(row) == "kernel, hardware pcm, mapping scale=channel, cells=pair, mvm adc(8)"


def test_a_curve_over_time_is_drawn_with_the_names_of_times() -> None:
    figure = pytest.importorskip("matplotlib.figure").Figure()
    (curve,) = curves_of(aged((("off", ""),)))
    axes = curve.plot(figure.subplots())
    assert axes.get_xlabel() == "time since programming"
    said = [label.get_text().strip() for label in axes.get_xticklabels()]
    assert said == ["programmed", "0 s", "1 h", "1 d", "30 d", "1 y"]
    assert len(axes.lines[0].get_xdata()) == len(TIMES)
