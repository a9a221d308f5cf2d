"""Which way a score is better: an error whose every sign is turned round is a score, so whatever is
said of the one must be said of the other."""

import json
import math
from typing import Any

import pytest

from noiseproof.cli import console
from noiseproof.report import tables
from noiseproof.report.figures import score_figure
from noiseproof.report.panels import Panel, panels_of
from noiseproof.report.terminal import curves_table, spread_lines
from noiseproof.report.words import short_names
from noiseproof.results.curves import Curve, as_json, curves_of
from noiseproof.results.rows import Row
from tests.rows import DETECTOR, NO_NOISE, of_score

SCORES = {"off": (2.0, 3.0, 2.5, 2.25), "pooled(8)": (1.5, 1.75, 1.25, 1.5)}
WAYS = {"off": {}, "pooled(8)": {"recalibrate": "pooled(8)", "calibration": "train"}}


def rows_of(sign: int, **said: Any) -> list[Row]:
    """A clean network and two ways to recalibrate, whose scores times `sign` are errors in m."""
    facts = {"metric": "rmse", "unit": "m", "blind": sign * 5.0, "chance": sign * 5.0} | said
    own = DETECTOR | {"task": "my:rmse", "score_is": json.dumps(facts)}
    noisy = [
        of_score(sign * score, chip=chip, **own, **WAYS[way])
        for way, scores in SCORES.items()
        for chip, score in enumerate(scores)
    ]
    return [of_score(sign * 1.0, **own, **NO_NOISE), *noisy]


def curves(better: str, **said: Any) -> list[Curve]:
    return curves_of(rows_of(-1 if better == "higher" else 1, better=better, **said))


def panel(found: list[Curve]) -> Panel:
    (one,) = panels_of(found, short_names(curve.clean for curve in found))
    return one


def test_the_worst_chip_of_an_error_is_the_one_with_the_highest() -> None:
    error, score = (curves(better)[0].points[0] for better in ("lower", "higher"))
    assert (error.worst, score.worst) == (3.0, -3.0)
    assert error.low_quantile == pytest.approx(-score.low_quantile)
    assert tables.tail_text(error.facts) == "95 % quantile"


def test_the_best_way_is_bold_and_told_apart_whichever_way_is_better() -> None:
    for better in ("lower", "higher"):
        lines = tables.overview(panel(curves(better)))["lines"]
        cells = {line["look"].label: line["cells"][0] for line in lines}
        marks = {name.split(", ")[-1]: (cell.best, cell.tied) for name, cell in cells.items()}
        assert sorted(marks.values()) == [(False, False), (True, False)]
        (best,) = (name for name, (is_best, _) in marks.items() if is_best)
        assert "pooled(8)" in best or "recalibrated" in best


def test_a_yield_of_an_error_counts_the_chips_at_or_below_it() -> None:
    error, score = (curves(better)[0] for better in ("lower", "higher"))
    found = error.points[0].yields(2.25)
    assert found.mean == 0.5, "of 2, 3, 2.5 and 2.25 two are so low"
    assert found == score.points[0].yields(-2.25)
    (line, _) = spread_lines(curves("lower"), 2.25)
    assert "yield (chips at or below 2.25 m) 50 [" in line


def test_the_share_that_is_left_above_chance_is_the_same_whichever_way_is_better() -> None:
    error, score = (curves(better)[0].points[0] for better in ("lower", "higher"))
    # By hand: chance 5, clean 1, so a mean of 2.4375 keeps (5 - 2.4375) / 4 of it.
    assert error.chance_corrected.mean == pytest.approx(2.5625 / 4)
    for name in ("mean", "low", "high"):
        assert getattr(error.chance_corrected, name) == pytest.approx(
            getattr(score.chance_corrected, name)
        )


@pytest.mark.parametrize("better", ["lower", "higher"])
def test_a_score_that_is_no_share_is_not_normalised(better: str) -> None:
    found = curves(better)
    assert math.isnan(found[0].points[0].normalised.mean)
    assert math.isnan(found[0].average_normalised.mean)
    assert not tables.averages(panel(found))
    assert as_json(found)["curves"][0]["normalised"]["mean"] is None


def test_a_share_of_ones_own_is_printed_in_percent_and_normalised() -> None:
    rows = rows_of(1, better="higher", unit="%", chance=0.1, blind=0.1)
    (off, _) = curves_of(rows)
    assert off.points[0].normalised.mean == pytest.approx(2.4375)
    assert "rmse 244 [" in repr(off.points[0])


def test_where_nobody_said_which_way_is_better_nothing_is_best_or_worst() -> None:
    found = curves("", chance=None, blind=None)
    assert math.isnan(found[0].points[0].worst)
    assert math.isnan(found[0].points[0].yields(2.0).mean)
    cells = [cell for line in tables.overview(panel(found))["lines"] for cell in line["cells"]]
    assert not any(cell.best or cell.tied for cell in cells)
    assert "Nobody said which way" in str(curves_table(found, width=160).caption)


def test_tables_and_axes_say_unit_and_direction(capsys: pytest.CaptureFixture[str]) -> None:
    found = curves("lower")
    console.print_curves(found)
    text = capsys.readouterr().out
    for words in ("rmse m", "rmse: lower is better", "clean rmse (lower is better) 1 m"):
        assert words in text
    figure = score_figure(panel(found))
    assert figure is not None
    assert figure.layout.yaxis.title.text == "rmse on noisy chips (m, lower is better)"


def test_a_name_and_a_unit_of_a_row_are_no_tags_on_a_figure() -> None:
    found = curves("lower", metric="<b>x", unit="<i>")
    figure = score_figure(panel(found))
    assert figure is not None
    assert "<b>x" not in figure.layout.yaxis.title.text
    assert all("<i>" not in (trace.hovertemplate or "") for trace in figure.data)
