"""The report of a study: figures by hand, words that fit them, no foreign text that acts."""

import itertools
import json
import math
import re
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from scipy import stats as sps

from noiseproof.results.rows import Row, pack
from noiseproof.stats.intervals import Interval
from noiseproof.study import Grid, Study, grid_of
from noiseproof.study.facts import Facts, NetworkFacts
from noiseproof.study.report import (
    StudyReport,
    document_of,
    report_of,
    summary_head,
    summary_row,
    write_study_report,
)
from noiseproof.study.report.markdown import block, cell, code, markdown_of, text
from noiseproof.study.report.page import page_of
from noiseproof.study.report.published import level_at, share_at
from noiseproof.study.report.tables import (
    Table,
    beside_table,
    cells_table,
    levels_table,
    matched_table,
    networks_table,
)
from noiseproof.study.report.words import names_of, share, side_names
from noiseproof.study.wanted import Network, Task

IMAGES = 1000
T2 = float(sps.t.ppf(0.975, 2))  # of three values
COMMAND = "noiseproof study run study.toml --profile quick"

Hits = Callable[[Task, float, int], float]
Clean = Callable[[Network], float | None]

TRAININGS = """
[[profiles.quick.trainings]]
model = "resnet8"
norm = ["batch", "none"]
epochs = 3
seed = [0, 1, 2]
"""
MEASUREMENTS = """
[[profiles.quick.measurements]]
levels = [0.1, 0.3]
targets = ["kernel", "kernel,bias"]
design = "chips"
chips = 2
"""
COMPARISON = """
[[comparisons]]
question = "none against batch"
order = [{ norm = "none" }, { norm = "batch" }]
by = ["targets"]
"""


def study_of(
    *,
    trainings: str = TRAININGS,
    measurements: str = MEASUREMENTS,
    comparisons: str = COMPARISON,
    published: str = "",
    more: dict[str, Any] | None = None,
) -> Study:
    document = tomllib.loads(
        'name = "toy"\ntitle = "Toy"\ndata = "digits"\n'
        f'[claim]\ntext = "none is better"\nsource = "A. Author, 2022"\n{published}\n'
        f'{comparisons}\n[profiles.quick]\nabout = "seconds"\n{trainings}\n{measurements}'
    )
    return Study.model_validate(document | (more or {}))


def row_of(network: Network, score: float, **changes: Any) -> Row:
    hits = round(IMAGES * score)
    row = Row(
        checkpoint=sha_of(network),
        model=network.model,
        norm=network.norm_text,
        task="classify",
        data="digits",
        data_sha256="d" * 64,
        scale="0,1",
        noise="none",
        targets="",
        recalibrate="off",
        calibration_sha256="",
        seed=0,
        chip=0,
        level=None,
        images=IMAGES,
        classes=10,
        score=hits / IMAGES,
        correct=hits,
        nonfinite=0,
        hits=pack(np.arange(IMAGES) < hits),
        seconds=0.1,
        device="cpu x1",
        versions="noiseproof 0, torch 0",
    )
    return replace(row, **changes)


def sha_of(network: Network) -> str:
    return network.name.encode().hex()[-64:].zfill(64)


def results(
    grid: Grid, noisy: Hits, *, clean: Clean = lambda network: 1.0, chips: int = 2
) -> tuple[Facts, list[Row]]:
    """Facts and rows: networks of which `clean` is None have failed; a nan score is no row."""
    facts, rows = {}, []
    for network in grid.networks:
        score = clean(network)
        if score is None:
            facts[network.name] = NetworkFacts(factors=network.factors, failed="the loss is nan")
            continue
        rows.append(row_of(network, score))
        facts[network.name] = NetworkFacts(
            factors=network.factors,
            sha256=sha_of(network),
            clean=score,
            epochs=3,
            seconds=12.0,
            device="cpu x1",
        )
    for task in grid.tasks:
        if facts[task.network.name].failed:
            continue
        for spec, chip in itertools.product(task.specs, range(chips)):
            score = noisy(task, float(spec.level or 0), chip)
            if not math.isnan(score):
                rows.append(
                    row_of(
                        task.network,
                        score,
                        noise=str(spec),
                        level=spec.level,
                        chip=chip,
                        seed=task.network.seed,
                        targets=",".join(task.targets),
                        recalibrate=task.recalibrate,
                        calibration="" if task.recalibrate == "off" else "train",
                        design=str(task.design),
                    )
                )
    return facts, rows


def reported(
    study: Study, noisy: Hits, *, clean: Clean = lambda network: 1.0, chips: int = 2
) -> StudyReport:
    grid = grid_of(study, "quick")
    facts, rows = results(grid, noisy, clean=clean, chips=chips)
    return report_of(study, "quick", grid, facts, rows, command=COMMAND)


def apart(task: Task, level: float, chip: int) -> float:
    """none keeps 0.9, 0.8; batch 0.8, 0.4; each a hundredth more or less by seed."""
    means = {"none": (0.9, 0.8), "batch": (0.8, 0.4)}[task.network.norm_text]
    return means[level > 0.2] + 0.01 * (task.network.seed - 1)


def flat(task: Task, level: float, chip: int) -> float:
    return 0.7 + 0.05 * (task.network.seed - 1)


def mixed(task: Task, level: float, chip: int) -> float:
    """For the claim in kernel, against it in kernel and bias."""
    sign = 1 if task.targets == ("kernel",) else -1
    none = task.network.norm_text == "none"
    return 0.6 + sign * (0.1 if none else -0.1) + 0.001 * task.network.seed


def reverse(task: Task, level: float, chip: int) -> float:
    return 1 - apart(task, level, chip)


def half_open(task: Task, level: float, chip: int) -> float:
    return apart(task, level, chip) if task.targets == ("kernel",) else flat(task, level, chip)


def half_against(task: Task, level: float, chip: int) -> float:
    return reverse(task, level, chip) if task.targets == ("kernel",) else flat(task, level, chip)


def just_not(task: Task, level: float, chip: int) -> float:
    """In kernel a difference that its 95 % interval tells from zero and Bonferroni's does not."""
    found = task.targets == ("kernel",) and task.network.norm_text == "none"
    return flat(task, level, chip) + 0.128 * found


# --- what the verdict rests on --------------------------------------------------------------------


def test_a_side_shows_its_mean_interval_and_n() -> None:
    table = cells_table(reported(study_of(), apart).first)
    # The curve of seed s has the mean of its levels: none .85, batch .6, each .01 (s - 1) more.
    half = 100 * T2 * 0.01 / math.sqrt(3)
    assert table.heads[:3] == ("targets", "norm none, %", "norm batch, %")
    assert table.rows[0][:3] == (
        "kernel",
        f"85.0 [{85 - half:.1f}, {85 + half:.1f}], n = 3",
        f"60.0 [{60 - half:.1f}, {60 + half:.1f}], n = 3",
    )


def test_a_difference_shows_the_95_and_the_bonferroni_interval() -> None:
    table = cells_table(reported(study_of(), apart).first)
    spread = 0.01 * math.sqrt(2 / 3)  # Welch of equal variances: 4 degrees of freedom
    alone = 100 * float(sps.t.ppf(0.975, 4)) * spread
    together = 100 * float(sps.t.ppf(1 - 0.025 / 2, 4)) * spread
    assert table.heads[3:] == (
        "difference, points [95\u00a0%]",
        "by itself",
        "points [97.5\u00a0%]",
        "together",
    )
    assert table.rows[0][3:] == (
        f"25.0 [{25 - alone:.1f}, {25 + alone:.1f}]",
        "for",
        f"25.0 [{25 - together:.1f}, {25 + together:.1f}]",
        "for",
    )


def test_one_cell_has_no_second_column() -> None:
    one = COMPARISON.replace("by = ", "# by = ").replace('"none" }', '"none", targets = "kernel" }')
    one = one.replace('"batch" }', '"batch", targets = "kernel" }')
    compared = reported(study_of(comparisons=one), apart).first
    table = cells_table(compared)
    assert table.heads == ("norm none, %", "norm batch, %", *table.heads[2:3], "by itself")
    assert compared.shared_text == "targets kernel"
    assert compared.together_note == ""


SCENES: dict[str, tuple[Hits, str]] = {
    "for": (apart, "reproduced"),
    "against": (reverse, "contradicted"),
    "open": (flat, "not decided"),
    "open together": (just_not, "not decided"),
    "depends": (mixed, "depends"),
    "partly for": (half_open, "partly reproduced"),
    "partly against": (half_against, "partly contradicted"),
}
TALLY = re.compile(r"of (\d+) cells (\d+) for the claim, (\d+) against it, (\d+) not told apart")


@pytest.mark.parametrize("scene", SCENES)
def test_the_words_of_a_verdict_never_contradict_its_cells(scene: str) -> None:
    noisy, kind = SCENES[scene]
    report = reported(study_of(), noisy)
    compared, verdict = report.first, report.first.verdict
    assert verdict.kind == kind
    table = cells_table(compared)
    alone, together = [row[-3] for row in table.rows], [row[-1] for row in table.rows]
    for cell_, row in zip(compared.cells, table.rows, strict=True):
        for place, is_together in ((-4, False), (-2, True)):
            low, high = ends_of(row[place])
            found = cell_.difference(together=is_together)
            assert (low, high) == pytest.approx((100 * found.low, 100 * found.high), abs=0.51)
            if min(abs(low), abs(high)) > 0.51:
                word = "for" if low > 0 else "against" if high < 0 else "not told apart"
                assert row[place + 1] == word
    if kind == "reproduced":
        assert set(alone) == {"for"}
    elif kind == "contradicted":
        assert set(alone) == {"against"}
    else:
        found = TALLY.search(verdict.text)
        assert found is not None
        count = Counter(together)
        shown = (len(together), count["for"], count["against"], count["not told apart"])
        assert tuple(map(int, found.groups())) == shown
    if scene == "open together":
        assert (alone, set(together)) == (["for", "not told apart"], {"not told apart"})
    words = [compared.word(cell_) for cell_ in compared.cells]
    counted = alone if kind in ("reproduced", "contradicted") else together
    assert [w.replace("open", "not told apart") for w in words] == counted
    assert f">Verdict: {verdict.text}<" in page_of(report)
    assert f"**Verdict: {verdict.text}.**" in markdown_of(report)
    others = {word for _, word in SCENES.values()} - {kind}
    others -= {word for word in others if word in kind}
    for shown_text in (page_of(report), markdown_of(report)):
        assert not [word for word in others if re.search(rf"(?<!partly ){word}\b", shown_text)]


def test_a_claim_of_two_parts_says_what_came_of_each() -> None:
    reversed_order = 'order = [{ norm = "batch" }, { norm = "none" }]'
    first = COMPARISON + "decides = true\n"
    aside = first.replace("none against batch", "aside").replace("decides = true", "")
    second = first.replace("none against", "the other").replace(
        'order = [{ norm = "none" }, { norm = "batch" }]', reversed_order
    )
    report = reported(study_of(comparisons=aside + first + second), apart)
    assert [part.comparison.question for part in report.parts] == [
        "none against batch",
        "the other batch",
    ]
    words = "depends on the part or the cell (of 2 parts of the claim 1 reproduced, 1 contradicted)"
    assert report.verdict == ("depends", words)
    assert document_of(report)["verdict"] == {"kind": "depends", "text": words}
    told = [one["decides"] for one in document_of(report)["comparisons"]]
    assert told == [False, True, True]
    assert f">Verdict: {words}<" in page_of(report)
    assert "<li>the other batch: contradicted. What is" in page_of(report)
    assert f"**Verdict: {words}.**" in markdown_of(report)
    assert "\n2. the other batch: contradicted. What is" in markdown_of(report)
    row = summary_row(report)
    assert words in row
    assert "none against batch (*reproduced*): " in row
    assert "<br>the other batch (*contradicted*): " in row
    assert "aside" not in row


def test_without_parts_the_first_comparison_is_the_claim() -> None:
    aside = COMPARISON.replace("none against batch", "aside")
    report = reported(study_of(comparisons=COMPARISON + aside), apart)
    assert report.parts == (report.compared[0],)
    assert report.verdict == ("reproduced", "reproduced")


def ends_of(shown: str) -> tuple[float, float]:
    found = re.search(r"\[(-?[\d.]+), (-?[\d.]+)\]", shown)
    assert found is not None
    return float(found[1]), float(found[2])


def test_a_single_training_has_no_interval() -> None:
    study = study_of(trainings=TRAININGS.replace("[0, 1, 2]", "0"))
    report = reported(study, apart)
    assert cells_table(report.first).rows[0][1] == "84.0 [no interval], n = 1"
    assert report.first.verdict.kind == "not decided"
    document = document_of(report)
    side = document["comparisons"][0]["cells"][0]["better"]
    assert (side["n"], side["low"], side["high"]) == (1, None, None)
    assert side["mean"] == pytest.approx(0.84)
    json.dumps(document, allow_nan=False)
    page_of(report)


def test_the_cells_are_grouped_by_the_first_factor() -> None:
    twice = MEASUREMENTS + MEASUREMENTS.replace("levels", 'reference = "max"\nlevels').replace(
        '["kernel", "kernel,bias"]', '["kernel,bias", "kernel"]'
    )
    by = COMPARISON.replace('["targets"]', '["targets", "noise"]')
    report = reported(study_of(measurements=twice, comparisons=by), apart)
    found = [dict(cell_.at)["targets"] for cell_ in report.first.cells]
    assert found == ["kernel", "kernel", "kernel,bias", "kernel,bias"]
    assert cells_table(report.first).starts == {0, 2}
    assert [row[1] for row in cells_table(report.first).rows[:2]] == [
        "std per tensor",
        "max per tensor",
    ]


PEAK = """
[[comparisons]]
question = "a peak"
order = [{ norm = "none" }, { norm = "none (last:1/3)" }, { norm = "batch" }]
by = ["targets"]
peak = true
"""


def test_a_peak_says_what_each_combination_says() -> None:
    def noisy(task: Task, level: float, chip: int) -> float:
        middle = task.network.norm_text == "none (last:1/3)"
        return (0.8 if middle else 0.6) + 0.001 * task.network.seed

    third = TRAININGS.replace('["batch", "none"]', '"none"\nnorm_where = "last:1/3"')
    report = reported(study_of(trainings=TRAININGS + third, comparisons=PEAK), noisy)
    assert report.first.verdict.kind == "reproduced"
    assert [word for _, word in report.first.peaks] == ["for", "for"]
    assert "better than both ends" in page_of(report)
    assert "norm none (last:1/3) minus norm batch" in page_of(report)
    cells = cells_table(report.first)
    assert cells.rows[0][1].startswith("norm none (last:1/3): 80.10 [")


def test_a_margin_is_said_and_drawn() -> None:
    margin = COMPARISON + "margin = 10.0\n"
    report = reported(
        study_of(comparisons=margin), lambda t, v, c: flat(t, v, c) * 0.01 + 0.7 - 0.02 * (
            t.network.norm_text == "none"
        )
    )  # fmt: skip
    assert report.first.verdict.kind == "reproduced"  # two points worse, ten are allowed
    assert "not worse by more than that" in markdown_of(report)
    assert "margin 10 points" in page_of(report)
    assert cells_table(report.first).rows[0][3].startswith("-2.00 [")


CHIP = """
[[comparisons]]
question = "recalibration helps"
order = [{ recalibrate = "match(50)", norm = "batch", seed = 1 },
         { recalibrate = "off", norm = "batch", seed = 1 }]
by = ["targets"]
unit = "chip"
"""


def test_chips_as_the_unit_are_paired_and_say_what_they_leave_out() -> None:
    both = MEASUREMENTS.replace("chips = 2", 'chips = 3\nrecalibrate = ["off", "match(50)"]')

    def noisy(task: Task, level: float, chip: int) -> float:
        return 0.5 + 0.1 * chip + (0.02 + 0.01 * chip) * (task.recalibrate != "off")

    report = reported(study_of(measurements=both, comparisons=CHIP), noisy, chips=3)
    half = 100 * T2 * 0.01 / math.sqrt(3)  # differences .02, .03, .04 on the same chips
    row = cells_table(report.first).rows[0]
    assert row[3] == f"3.0 [{3 - half:.1f}, {3 + half:.1f}]"
    assert row[1].endswith("n = 3")
    assert "paired on the same chips" in page_of(report)
    assert "nothing is said of other trainings" in report.first.unit_text
    assert report.first.shared_text == "norm batch, seed 1"
    assert report.panels[0].lines[0].n == 3  # the band is over chips


# --- the source's figures -------------------------------------------------------------------------

PAIR = """
[[claim.published]]
what = "without"
percent = 70.0
side = 0
where = { model = "resnet8" }
[[claim.published]]
what = "with"
percent = 41.32
side = 1
where = { model = "resnet8" }
"""


def falling(task: Task, level: float, chip: int) -> float:
    """none .9, .5 (mean over seeds); batch .8, .4 (kernel) or .9, .8 (kernel and bias)."""
    high = level > 0.2
    if task.network.norm_text == "none":
        return (0.5 if high else 0.9) + 0.02 * (task.network.seed - 1)
    means = (0.8, 0.4) if task.targets == ("kernel",) else (0.9, 0.8)
    return means[high] + 0.1 * (task.network.seed - 1) * (task.targets == ("kernel",))


def test_the_matched_level_is_read_by_hand() -> None:
    report = reported(study_of(published=PAIR), falling)
    (matched,) = report.matched
    near, far = matched.matches
    # none falls from .9 at .1 to .5 at .3: .7 at .2. There batch keeps .5, .6, .7 by seed.
    assert dict(near.at) == {"targets": "kernel"}
    assert near.level == pytest.approx(0.2)
    half = T2 * 0.1 / math.sqrt(3)
    assert (near.kept.mean, near.kept.low) == pytest.approx((0.6, 0.6 - half))
    assert dict(far.at) == {"targets": "kernel,bias"}
    assert far.kept.mean == pytest.approx(0.85)
    table = matched_table(matched, report.names)
    low, high = 60 - 100 * half, 60 + 100 * half
    assert table.rows[0] == ("kernel", "0.2", f"60 [{low:.0f}, {high:.0f}], n = 3", "+19")
    assert table.rows[1][:2] == ("kernel,bias", "0.2")
    page = page_of(report)
    assert "which is not the source&#39;s own average" in page
    assert "are given without noise levels" in page


def test_a_published_share_that_is_never_reached_is_beyond_the_levels() -> None:
    report = reported(study_of(published=PAIR.replace("70.0", "30.0")), falling)
    rows = matched_table(report.matched[0], report.names).rows
    assert [row[1:] for row in rows] == [
        ("beyond the levels (keeps 50.0 % at the highest)", "-", "-")
    ] * 2
    matches = document_of(report)["matched"][0]["matches"]
    assert [(one["level"], one["mean"]) for one in matches] == [(None, None)] * 2


@pytest.mark.parametrize(
    "change",
    {
        "another where": ("}\n[[", ', targets = "kernel" }\n[['),
        "a level": ('"resnet8" }', '"resnet8", level = 0.1 }'),
        "no second side": ("side = 1", "# none"),
    }.items(),
    ids=lambda item: item[0],
)
def test_no_pair_is_matched_without_two_sides_one_where_and_a_free_level(
    change: tuple[str, tuple[str, str]],
) -> None:
    assert reported(study_of(published=PAIR), falling).matched
    assert not reported(study_of(published=PAIR.replace(*change[1])), falling).matched


def test_no_pair_is_matched_where_the_score_is_no_share() -> None:
    study = study_of(published=PAIR, comparisons=COMPARISON + 'score = "average"\n')
    assert not reported(study, falling).matched


def test_the_level_is_where_the_line_falls_to_the_share_first() -> None:
    line = {0.0: 1.0, 0.1: 0.6, 0.2: 0.8, 0.3: 0.2}
    assert level_at(line, 0.7) == pytest.approx(0.075)
    assert level_at(line, 0.6) == pytest.approx(0.1)
    assert level_at(line, 0.5) == pytest.approx(0.25)
    assert level_at(line, 0.1) is None
    assert level_at(line, 1.0) == 0.0


@given(st.lists(st.floats(0.01, 0.99), min_size=1, max_size=6), st.floats(0.01, 1.0))
def test_the_line_at_the_found_level_has_the_share(values: list[float], wanted: float) -> None:
    line = {0.0: 1.0} | {0.1 * (place + 1): value for place, value in enumerate(values)}
    level = level_at(line, wanted)
    if level is None:
        assert min(values) > wanted
    else:
        assert share_at(line, level) == pytest.approx(wanted, abs=1e-9)


def test_published_figures_stand_beside_the_measured_side() -> None:
    report = reported(study_of(published=PAIR), falling)
    rows = beside_table(report).rows
    half = 100 * T2 * 0.02 / math.sqrt(3)
    assert rows[0] == (
        "without (beside it: model resnet8)",
        "70",
        f"70.0 [{70 - half:.1f}, {70 + half:.1f}], n = 3",
        "kernel",
    )
    assert rows[1][:2] == ("", "")
    assert rows[2][:2] == ("with (beside it: model resnet8)", "41.32")
    assert rows[2][2].startswith("60 [")  # batch: mean of .8 and .4


def test_of_many_combinations_the_closest_lowest_and_highest_are_named() -> None:
    targets = ["kernel", "bias", "kernel,bias", "norm_affine", "kernel,norm_affine"]
    many = MEASUREMENTS.replace('["kernel", "kernel,bias"]', json.dumps(targets))
    means = dict(zip(targets, (0.5, 0.68, 0.9, 0.6, 0.8), strict=True))

    def noisy(task: Task, level: float, chip: int) -> float:
        return means[",".join(task.targets)] + 0.001 * task.network.seed

    rows = beside_table(reported(study_of(measurements=many, published=PAIR), noisy)).rows
    assert [row[3] for row in rows[:3]] == [
        "closest of 5: bias",
        "lowest of 5: kernel",
        "highest of 5: kernel,bias",
    ]
    assert [row[2][:4] for row in rows[:3]] == ["68.1", "50.1", "90.1"]
    assert [row[3] for row in rows[3:]] == [
        "closest and lowest of 5: kernel",
        "highest of 5: kernel,bias",
    ]


def test_a_figure_of_one_level_stands_beside_that_level() -> None:
    at_level = PAIR.replace('model = "resnet8"', "level = 0.1")
    rows = beside_table(reported(study_of(published=at_level), falling)).rows
    assert rows[0][2].startswith("90")


def test_a_figure_of_no_side_has_nothing_beside_it() -> None:
    alone = '[[claim.published]]\nwhat = "another"\npercent = 12.5\n'
    report = reported(study_of(published=alone), falling)
    assert beside_table(report).rows == (("another", "12.5", "belongs to no side", ""),)
    assert document_of(report)["published"][0]["measured"] == []


# --- what is not there ----------------------------------------------------------------------------


def test_an_unfinished_study_says_so_first() -> None:
    def noisy(task: Task, level: float, chip: int) -> float:
        seed, high = task.network.seed, level > 0.2
        lost = (seed == 2) or (seed == 1 and high) or (task.targets == ("kernel",) and chip)
        return math.nan if lost and task.network.norm_text == "none" else apart(task, level, chip)

    report = reported(study_of(), noisy)
    # Of 12 curves none has 2 without rows, 2 without a level; kernel of seed 0 lacks a chip.
    progress = report.progress
    assert (progress.curves, progress.done, progress.begun, progress.absent) == (12, 7, 3, 2)
    assert report.headline.startswith("Verdict so far (unfinished: 7 of 12 curves measured): ")
    page, markdown = page_of(report), markdown_of(report)
    assert page.index("7 of 12 curves measured (3 begun, 2 without a row)") < page.index("none is")
    assert markdown.split("\n\n")[1].startswith("**Unfinished: 7 of 12 curves measured**")
    assert "1 of 2 units at level 0.1; 1 of 2 units at level 0.3" in page
    assert "no rows at level 0.3" in page
    assert "2 curves without rows" in markdown
    assert document_of(report)["finished"] is False
    assert "unfinished: 7 of 12" in summary_row(report)


def test_a_precision_decides_how_many_units_a_level_needs() -> None:
    precise = MEASUREMENTS.replace("chips = 2", "precision = 0.02")
    study = study_of(measurements=precise)
    assert reported(study, apart, chips=2).progress.done == 0  # the first 20 tell the spread
    assert reported(study, apart, chips=20).progress.done == 12
    report = reported(study, lambda task, level, chip: 0.5 + 0.2 * (-1) ** chip, chips=20)
    needed = math.ceil((float(sps.t.ppf(0.975, 19)) * 0.2 * math.sqrt(20 / 19) / 0.02) ** 2)
    assert report.progress.done == 0
    assert f"20 of {needed} units" in report.progress.gaps[0]


def test_without_rows_nothing_is_claimed() -> None:
    study = study_of(published=PAIR)
    report = report_of(study, "quick", grid_of(study, "quick"), {}, [], command=COMMAND)
    assert report.first.verdict.kind == "not measured"
    assert "0 of 12 curves measured" in page_of(report)
    assert "not measured" in summary_row(report)
    assert {line.state for line in report.networks} == {"not there yet"}
    json.dumps(document_of(report), allow_nan=False)
    markdown_of(report)


def test_a_failed_training_is_told_and_does_not_leave_the_study_unfinished() -> None:
    def clean(network: Network) -> float | None:
        return None if network.norm_text == "none" and network.seed == 2 else 1.0

    report = reported(study_of(), apart, clean=clean)
    assert report.progress.is_finished
    assert report.headline == "Verdict (incomplete: 10 of 12 curves measured): reproduced"
    remarks = [row[-1] for row in networks_table(report).rows]
    assert remarks.count("training failed: the loss is nan") == 1
    assert cells_table(report.first).rows[0][1].endswith("n = 2")
    assert "impossible, since a training failed" in page_of(report)


def test_networks_that_have_not_learned_are_marked_and_left_out() -> None:
    def clean(network: Network) -> float:
        return 0.15 if network.norm_text == "none" and network.seed == 2 else 1.0

    report = reported(
        study_of(), lambda t, v, c: min(apart(t, v, c), clean(t.network)), clean=clean
    )
    assert [line.network.seed for line in report.not_learned] == [2]
    assert cells_table(report.first).rows[0][1].endswith("n = 2, 1 not learned")
    page = page_of(report)
    assert "1 network has not learned" in page
    assert "at most 2 times chance" in page
    assert report.panels[0].lines[0].n == 2
    assert [n["learned"] for n in document_of(report)["networks"]].count(False) == 1


def test_a_network_is_told_with_its_recipe_and_what_became_of_it() -> None:
    report = reported(study_of(), lambda t, v, c: 0.5, clean=lambda network: 0.915)
    row, network = networks_table(report).rows[1], report.networks[1].network
    sha = sha_of(network)[:12]
    about = ("resnet8", "batch", "0.1", "3", "1", "91.5", "12", "cpu x1", sha, "")
    assert row == (network.name, *about)


def test_pairs_that_no_cell_compares_are_listed() -> None:
    made = study_of()
    grid = grid_of(made, "quick")
    facts, rows = results(grid, apart, clean=lambda network: 1.0, chips=2)
    known = {name: fact for name, fact in facts.items() if fact.factors["norm"] != "none"}
    report = report_of(made, "quick", grid, known, rows, command=COMMAND)
    assert report.first.verdict.kind == "not measured"
    assert report.first.absent == (
        "norm none against norm batch: kernel",
        "norm none against norm batch: kernel,bias",
    )
    assert "2 pairs of the grid that could not be compared" in page_of(report)
    assert "2 pairs not compared" in summary_row(report)
    assert reported(study_of(), apart).first.absent == ()


def test_networks_that_have_not_learned_leave_their_cells_open() -> None:
    def clean(network: Network) -> float:
        return 0.15 if network.norm_text == "none" else 1.0

    report = reported(
        study_of(), lambda t, v, c: min(apart(t, v, c), clean(t.network)), clean=clean
    )
    assert report.first.verdict.kind == "not decided"
    assert "of 2 cells 0 for the claim, 0 against it, 2 not told apart" in page_of(report)
    assert report.first.absent == ()


# --- panels ---------------------------------------------------------------------------------------


def test_the_levels_table_holds_the_means_of_the_panels() -> None:
    report = reported(study_of(), apart)
    table = levels_table(report.panels)
    half = 100 * T2 * 0.01 / math.sqrt(3)
    assert table.heads == ("combination", "side", "n", "level 0.1", "level 0.3")
    shown = f"40.0 [{40 - half:.1f}, {40 + half:.1f}]"
    assert table.rows[1] == ("kernel", "norm batch", "3", table.rows[1][3], shown)
    assert report.panels[0].lines[0].levels == (0.0, 0.1, 0.3)
    assert report.panels[0].axis == "noise level (sigma / std per tensor)"


def test_more_panels_than_fit_are_counted_and_tabled() -> None:
    noises = [f"laplace({0.1}, reference={r}, scope={s})" for r in ("std", "max", "rms", "range")
              for s in ("tensor", "channel", "global")]  # fmt: skip
    noises += [noise.replace("laplace", "uniform") for noise in noises]
    many = MEASUREMENTS.replace("levels", f"noise = {json.dumps(noises)}\nlevels")
    many = many.replace("chips = 2", "chips = 1")
    by = COMPARISON.replace('["targets"]', '["targets", "noise"]')
    small = TRAININGS.replace("[0, 1, 2]", "[0, 1]")
    report = reported(study_of(trainings=small, measurements=many, comparisons=by), apart, chips=1)
    assert len(report.panels) == len(report.first.cells) == 48
    page = page_of(report)
    assert page.count("<figure>") == 24
    assert "24 further combinations of 48 not drawn here" in page
    assert len(page) < 1_000_000
    assert len(levels_table(report.panels).rows) == 96
    assert "laplace, std per tensor" in page


# --- words ----------------------------------------------------------------------------------------


def test_noises_have_short_names_that_tell_them_apart() -> None:
    std, most = (f"gaussian(level, reference={one}, scope=tensor)" for one in ("std", "max"))
    assert names_of([std, most]).noises == {std: "std per tensor", most: "max per tensor"}
    assert names_of([std]).noises == {std: "gaussian, std per tensor"}
    laplace = std.replace("gaussian", "laplace")
    assert names_of([std, laplace]).noises[laplace] == "laplace, std per tensor"
    whole = "gaussian(level, reference=std, scope=global)"
    assert names_of([std, whole]).noises[whole] == "std, global"
    assert names_of([std, "lognormal(level)"]).noises == {}


def test_sides_are_called_by_what_tells_them_apart() -> None:
    order = [{"norm": "none", "model": "m"}, {"norm": "batch", "model": "m"}]
    assert side_names(order, names_of([])) == ["norm none", "norm batch"]
    assert side_names([{"norm": "none"}, {"model": "m"}], names_of([])) == ["norm none", "model m"]


def test_zero_has_no_sign() -> None:
    assert share(Interval(mean=-0.0001, low=-0.2, high=0.2)) == "0 [-20, 20]"
    assert share(Interval(mean=-0.00001, low=-0.02, high=0.02)) == "0.0 [-2.0, 2.0]"
    assert share(Interval(mean=math.nan, low=math.nan, high=math.nan)) == "-"


# --- foreign text ---------------------------------------------------------------------------------

EVIL = (
    "<script>alert(1)</script>|`x`\n# head {{ 7*7 }} ![i](https://example.com/p.png) *b* 'q\" $x$"
)


def hostile() -> StudyReport:
    evil = {
        "title": EVIL,
        "notes": [EVIL, "- a list\n> a quotation"],
    }
    where = 'norm_where = "name:<img src=x onerror=alert(1)>|`"\n'
    third = TRAININGS.replace('["batch", "none"]', '"none"').replace("epochs", where + "epochs")
    norm = "none (name:<img src=x onerror=alert(1)>|`)"
    order = f"order = [{{ norm = {json.dumps(norm)} }}, {{ norm = 'batch' }}]"
    comparison = COMPARISON.replace('order = [{ norm = "none" }, { norm = "batch" }]', order)
    comparison = comparison.replace('"none against batch"', json.dumps(EVIL))
    published = PAIR.replace('"without"', json.dumps(EVIL))
    study = study_of(
        trainings=TRAININGS + third, comparisons=comparison, published=published, more=evil
    )
    claim = study.claim.model_copy(update={"text": EVIL, "source": EVIL})
    about = study.profiles["quick"].model_copy(update={"about": EVIL})
    study = study.model_copy(update={"claim": claim, "profiles": {"quick": about}})
    grid = grid_of(study, "quick")

    def noisy(task: Task, level: float, chip: int) -> float:
        return 0.5 + 0.01 * task.network.seed + 0.1 * (task.network.norm_text == "batch")

    facts, rows = results(grid, noisy)
    rows = [replace(row, device=EVIL, versions=EVIL) for row in rows]
    first = grid.networks[0].name
    facts[first] = NetworkFacts(factors={}, failed=EVIL, device=EVIL)
    return report_of(study, "quick", grid, facts, rows, command=f"run ```` {EVIL}")


class Elements(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(name, value or "") for name, value in attrs]


@pytest.mark.parametrize("report", [lambda: reported(study_of(published=PAIR), falling), hostile])
def test_the_page_holds_no_foreign_element_and_no_address(
    report: Callable[[], StudyReport],
) -> None:
    page = page_of(report())
    found = Elements(page)
    assert not {"script", "img", "a", "link", "iframe", "object", "form"} & set(found.tags)
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    for name, value in found.attributes:
        if name in ("href", "xlink:href", "src"):
            assert value.startswith("#")
        elif "http" in value:
            assert value.startswith("http://www.w3.org/")
    assert "default-src 'none'" in page
    assert "{{ 7*7 }}" in page or "7*7" not in page
    ids = [value for name, value in found.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    known = set(ids)
    assert set(re.findall(r"url\(#([^)]*)\)", page)) <= known
    assert {v[1:] for n, v in found.attributes if n == "xlink:href"} <= known
    for svg in re.findall(r"<svg .*?</svg>", page, flags=re.DOTALL):
        ET.fromstring(svg)


def test_foreign_text_in_markdown_stays_text() -> None:
    markdown = markdown_of(hostile())
    assert markdown.count("`````sh") == 1
    body = markdown[: markdown.index("`````sh")]
    assert not re.search(r"<(?!/?code>|br>)[a-z/!]", body)
    assert not re.search(r"(?<!\\)\]\(", body)
    assert not re.search(r"^# head", body, flags=re.MULTILINE)
    assert body.count("\n# ") == 0  # the title is the first line
    for lines in tables_of(markdown):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1


def test_a_markdown_reader_finds_only_our_own_elements() -> None:
    reader = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    for report in (reported(study_of(published=PAIR), falling), hostile()):
        shown = f"{markdown_of(report)}\n{summary_head()}\n{summary_row(report)}\n"
        found = Elements(reader.render(shown))
        ours = {"h1", "h2", "h3", "p", "blockquote", "strong", "ul", "li", "pre", "code", "br"}
        ours |= {"table", "thead", "tbody", "tr", "th", "td"}
        assert set(found.tags) <= ours
        assert found.tags["h1"] == found.tags["blockquote"] == found.tags["pre"] == 1
        assert found.tags["table"] == 6  # published, matched, cells, levels, networks, summary


def tables_of(markdown: str) -> list[list[str]]:
    parts = [part.split("\n") for part in markdown.split("\n\n")]
    return [lines for lines in parts if lines[0].startswith("|")]


@given(st.text())
def test_escaped_text_is_one_line_without_marks_of_its_own(foreign: str) -> None:
    for shown in (text(foreign), cell(foreign), code(foreign)):
        assert "\n" not in shown
        assert not re.search(r"(?<!\\)(?:\\\\)*\|", shown)
    assert not re.search(r"<", text(foreign))
    lines = block(foreign).split("\n")
    assert len(lines) == 3
    assert lines[0][:-2] == lines[2]
    assert lines[2] not in lines[1]


def test_numbers_and_names_are_not_disfigured_by_escaping() -> None:
    for plain_text in ("-3.2 [-5.0, -1.4]", "resnet8-none_x0_25", "91.2 %", "none (last:1/3)"):
        assert text(plain_text) == plain_text
    assert text("1. a list") == "1\\. a list"
    assert text("- a list") == "\\- a list"
    assert text("# head") == "\\# head"
    assert code("run it") == "`run it`"


# --- files ----------------------------------------------------------------------------------------


def test_both_files_are_written(tmp_path: Path) -> None:
    report = reported(study_of(), apart)
    written = write_study_report(report, tmp_path)
    assert [path.name for path in written] == ["report.html", "report.md"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.md"]
    assert written[0].read_text().endswith("</html>\n")
    assert written[1].read_text().startswith("# Toy\n")


def test_a_folder_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot write"):
        write_study_report(reported(study_of(), apart), tmp_path / "missing")


def test_the_same_results_give_the_same_page() -> None:
    first, second = (page_of(reported(study_of(), apart)) for _ in range(2))
    assert first == second


def test_the_summary_row_fits_its_head() -> None:
    report = reported(study_of(published=PAIR), apart)
    head, marks = summary_head().split("\n")
    row = summary_row(report)
    assert head.count("|") == marks.count("|") == len(re.findall(r"(?<!\\)\|", row)) == 7
    assert "without: 70 %<br>with: 41.32 %" in row
    assert "**reproduced**" in row
    assert "3 trainings a side" in row
    assert f"`{COMMAND}`" in row
    evil = summary_row(hostile())
    assert len(re.findall(r"(?<!\\)\|", evil)) == 7
    assert "\n" not in evil


def test_the_report_imports_no_torch_and_draws_only_when_asked() -> None:
    heavy = ("torch", "matplotlib", "jinja2", "plotly")
    program = (
        "import sys, noiseproof.study.report\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_drawing_imports_no_torch() -> None:
    program = "import sys, noiseproof.study.report.page\nprint('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_a_comparison_that_mixes_curves_is_one_sentence() -> None:
    mixed_up = COMPARISON.replace('by = ["targets"]', "")
    with pytest.raises(ValueError, match="add targets to by"):
        reported(study_of(comparisons=mixed_up), apart)


def test_every_table_is_as_wide_as_its_head() -> None:
    report = reported(study_of(published=PAIR), falling)
    tables: tuple[Table, ...] = (
        beside_table(report),
        matched_table(report.matched[0], report.names),
        cells_table(report.first),
        levels_table(report.panels),
        networks_table(report),
    )
    for table in tables:
        assert table.rows
        assert {len(row) for row in table.rows} == {len(table.heads)}
