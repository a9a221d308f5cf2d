"""The report of a study: figures by hand, words that fit them."""

import json
import math
import re
from collections import Counter

import pytest
from scipy import stats as sps

from noiseproof.study.report import (
    document_of,
    summary_row,
)
from noiseproof.study.report.markdown import markdown_of
from noiseproof.study.report.page import page_of
from noiseproof.study.report.tables import (
    cells_table,
)
from noiseproof.study.wanted import Task
from tests.study.report.answers import (
    COMPARISON,
    MEASUREMENTS,
    T2,
    TRAININGS,
    Hits,
    apart,
    reported,
    study_of,
)


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
TALLY = re.compile(
    r"(\w+) of (\d+) cases (?:are|is) for it, (\w+) against it, (\w+) not told apart"
    r"|none of (\d+) cases is told apart"
)


def counted_in(text: str) -> tuple[int, int, int, int]:
    """How many cases there are, for the claim, against it, and neither, as the verdict says."""
    found = TALLY.search(text)
    assert found is not None
    if found[5]:
        return int(found[5]), 0, 0, int(found[5])
    ours, cases, theirs, neither = (0 if one == "none" else int(one) for one in found.groups()[:4])
    return cases, ours, theirs, neither


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
        count = Counter(together)
        shown = (len(together), count["for"], count["against"], count["not told apart"])
        assert counted_in(verdict.text) == shown
    if scene == "open together":
        assert (alone, set(together)) == (["for", "not told apart"], {"not told apart"})
    words = [compared.word(cell_) for cell_ in compared.cells]
    counted = alone if kind in ("reproduced", "contradicted") else together
    assert [w.replace("open", "not told apart") for w in words] == counted
    assert f">Verdict: {compared.verdict_text}<" in page_of(report)
    assert f"**Verdict: {compared.verdict_text}.**" in markdown_of(report)
    assert compared.verdict_text.lower().endswith(f"{kind}. {verdict.text}")
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
    words = "one of its two parts holds, one is contradicted"
    assert report.verdict == ("depends", words)
    assert document_of(report)["verdict"] == {"kind": "depends", "text": words}
    told = [one["decides"] for one in document_of(report)["comparisons"]]
    assert told == [False, True, True]
    assert f">Verdict: it depends. O{words[1:]}<" in page_of(report)
    assert "<li>the other batch: the opposite is found in all 2 cases.</li>" in page_of(report)
    assert f"**Verdict: it depends. O{words[1:]}.**" in markdown_of(report)
    assert "\n2. the other batch: the opposite is found in all 2 cases." in markdown_of(report)
    row = summary_row(report)
    assert f"O{words[1:]}" in row
    assert "none against batch (*reproduced*): " in row
    assert "<br>the other batch (*contradicted*): " in row
    assert "aside" not in row


def test_without_parts_the_first_comparison_is_the_claim() -> None:
    aside = COMPARISON.replace("none against batch", "aside")
    report = reported(study_of(comparisons=COMPARISON + aside), apart)
    assert report.parts == (report.compared[0],)
    assert report.verdict == ("reproduced", "it holds in all 2 cases")


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
