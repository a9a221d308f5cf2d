"""Rows of noise in parts of a network -> the ranking, against longhand sums and simulation."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats as sps

from noiseproof import stats
from noiseproof.report import write_report
from noiseproof.report.page import render
from noiseproof.report.sensitivity.figures import digital_lines, drop_figure, write_ranking_figure
from noiseproof.report.sensitivity.tables import (
    finding_text,
    group_lines,
    step_lines,
    terminal_tables,
)
from noiseproof.results.curves import curves_of
from noiseproof.results.rows import Row
from noiseproof.results.sensitivity import Ranking, rankings_of
from noiseproof.results.showing import share_text
from noiseproof.specs import noise as spec
from noiseproof.specs.designs import Auto, Chips, Nested, PerImage
from noiseproof.specs.selection import but_part, check_ranked, chosen_steps, only_part, parse_steps
from tests.rows import NO_NOISE, of_hits

FALSE_FAIL = 1e-6
Hits = Sequence[int] | NDArray[np.bool_]
NOISE = "gaussian(0.5, reference=std, scope=tensor)"


def row(part: str, chip: int, hits: Hits, *, blocks: int = 4, groups: int = 3, **more: Any) -> Row:
    right = np.asarray(hits, dtype=bool)
    clean = part == "nothing"
    sizes = {"a": (10, 1000), "b": (30, 3000), "c": (60, 0)}.get(part.rpartition(":")[2], (0, 0))
    costs = {"blocks": blocks, "groups": groups, "weights": sizes[0], "macs": sizes[1]}
    usual = NO_NOISE if clean else {"noise": NOISE, "level": 0.5}
    named = {"chip": chip, "design": "per-image(5)", "part": part, "details": json.dumps(costs)}
    return of_hits(right, **usual | named | more)


CLEAN = [[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 1, 1], [1, 1, 1, 1, 0]]
A = [[1, 1, 0, 1], [0, 1, 1, 0], [1, 1, 1, 1], [1, 1, 0, 0, 0]]  # 4 lost
B = [[0, 0, 0, 1], [0, 0, 1, 0], [0, 0, 1, 1], [0, 0, 1, 1, 1]]  # 9 lost, 1 won
C = CLEAN  # none lost


def blocks_of_rows(part: str, blocks: Sequence[Hits], *, first: int = 0, **more: Any) -> list[Row]:
    return [row(part, first + b, hits, **more) for b, hits in enumerate(blocks)]  # type: ignore[arg-type]


def alone() -> list[Row]:
    parts = {"nothing": CLEAN, "only:layer:a": A, "only:layer:b": B, "only:layer:c": C}
    return [one for part, blocks in parts.items() for one in blocks_of_rows(part, blocks)]


def only(rows: Sequence[Row]) -> Ranking:
    (ranking,) = rankings_of(rows)
    return ranking


def longhand(values: Sequence[float], sizes: Sequence[int]) -> tuple[float, float]:
    """The ratio estimate of a mean over images from block means, and its t half-width (Cochran
    1977, 6.4): the residuals are sums of images, y - mean n."""
    total, b = sum(sizes), len(sizes)
    mean = sum(v * n for v, n in zip(values, sizes, strict=True)) / total
    squares = sum((n * (v - mean)) ** 2 for v, n in zip(values, sizes, strict=True))
    error = math.sqrt(b / (b - 1) * squares) / total
    return mean, float(sps.t.ppf(0.975, b - 1)) * error


# --- the ranking ---------------------------------------------------------------------------------


def test_a_drop_is_the_paired_difference_over_blocks_of_unequal_size() -> None:
    ranking = only(alone())
    assert [group.name for group in ranking.groups] == ["b", "a", "c"]
    sizes = [4, 4, 4, 5]
    for group, lost in zip(ranking.groups, ([3, 2, 2, 1], [1, 1, 0, 2], None), strict=True):
        if lost is None:
            continue
        mean, half = longhand([k / n for k, n in zip(lost, sizes, strict=True)], sizes)
        assert group.drop.mean == pytest.approx(mean)
        assert group.drop.mean == pytest.approx(sum(lost) / 17)
        assert group.drop.high - group.drop.mean == pytest.approx(half)
        assert group.drop.mean - group.drop.low == pytest.approx(half)


def test_with_equal_blocks_a_drop_is_the_paired_t_interval() -> None:
    rows = [r for r in alone() if r.chip < 3]
    expected = stats.paired_interval([1, 0.75, 1], [1 / 4, 1 / 4, 1 / 2])
    drop = only(rows).groups[0].drop
    assert (drop.mean, drop.low) == pytest.approx((expected.mean, expected.low))
    assert drop.high == pytest.approx(min(1, expected.high))


def test_where_no_image_changed_the_ends_are_what_stays_unseen() -> None:
    drop = only(alone()).groups[-1].drop
    assert drop.mean == 0
    # with a share of `high` changing images, none of 17 is seen with probability 2.5 %
    assert (1 - drop.high) ** 17 == pytest.approx(0.025)
    assert drop.low == -drop.high


def test_ahead_is_the_difference_to_the_next_on_the_same_images() -> None:
    first, second, last = only(alone()).groups
    mean, half = longhand([2 / 4, 1 / 4, 2 / 4, -1 / 5], [4, 4, 4, 5])
    assert first.ahead.mean == pytest.approx(mean)
    assert first.ahead.low == pytest.approx(mean - half)
    assert first.is_told_apart == (mean > half)
    assert second.ahead.mean == pytest.approx(second.drop.mean)
    assert math.isnan(last.ahead.mean)
    assert not last.is_told_apart


def test_equal_drops_stay_in_the_order_of_the_network() -> None:
    parts = {"nothing": CLEAN, "only:layer:b": C, "only:layer:a": C, "only:layer:c": C}
    rows = [one for part, blocks in parts.items() for one in blocks_of_rows(part, blocks)]
    assert [group.name for group in only(rows).groups] == ["b", "a", "c"]


def test_the_clean_row_is_that_of_all_images() -> None:
    ranking = only(alone())
    assert (ranking.clean.images, ranking.clean.part, ranking.clean.noise) == (17, "all", "none")
    assert ranking.clean.score == pytest.approx(15 / 17)
    mean, half = longhand([1, 3 / 4, 1, 4 / 5], [4, 4, 4, 5])
    assert ranking.clean_accuracy.mean == pytest.approx(mean)
    assert ranking.clean_accuracy.low == pytest.approx(mean - half)
    perfect = only([row("nothing", b, [1] * 5) if r.part == "nothing" else row(r.part, b, [0] * 5)
                    for b in range(4) for r in alone() if r.chip == b])  # fmt: skip
    # every image right: Clopper and Pearson's bound, 0.025 = p^20
    assert perfect.clean_accuracy.low == pytest.approx(0.025 ** (1 / 20))


def test_blocks_that_a_group_has_not_met_are_left_out() -> None:
    rows = [r for r in alone() if not (r.part == "only:layer:c" and r.chip >= 2)]
    ranking = only(rows)
    assert (ranking.units, ranking.clean.images) == (2, 8)
    assert ranking.groups[0].drop.mean == pytest.approx(5 / 8)
    assert rankings_of([r for r in alone() if r.part != "only:layer:c"]) == []
    assert rankings_of([r for r in alone() if r.part != "nothing"]) == []
    assert rankings_of([]) == []


def test_rankings_are_apart_by_noise_targets_seed_grouping_and_network() -> None:
    second = [r for r in alone() if r.part != "nothing"]
    others: list[dict[str, object]] = [
        {"noise": "gaussian(0.7, reference=std, scope=tensor)"},
        {"targets": "kernel,bias"},
        {"checkpoint": "f" * 64},
        {"seed": 1},
        {"design": "per-image(6)"},
    ]
    for other in others:
        clean = [r for r in alone() if r.part == "nothing"]
        same_images = {"checkpoint", "seed", "design"}.isdisjoint(other)
        changed = [_with(r, other) for r in second + ([] if same_images else clean)]
        found = rankings_of(alone() + changed)
        assert len(found) == 2
        assert [g.drop for g in found[0].groups] == [g.drop for g in found[1].groups]
    by_block = [_with(r, {"part": r.part.replace("layer", "block")}) for r in second]
    assert [r.by for r in rankings_of(alone() + by_block)] == ["layer", "block"]


def _with(one: Row, values: dict[str, object]) -> Row:
    return Row(**{**one.__dict__, **values})


def test_curves_do_not_see_these_rows() -> None:
    assert curves_of(alone() + kept()) == []


def test_the_interval_of_a_drop_covers_the_truth_as_often_as_it_says() -> None:
    """New images and new chips: images of unequal difficulty, on each the noise flips its own dice.
    A wrong factor of 1.3 in the width would show: coverage below .88."""
    rng = np.random.default_rng(0)
    runs, blocks, n = 600, 20, 25
    sd = math.sqrt(0.95 * 0.05 / runs)
    allowed = float(sps.norm.isf(FALSE_FAIL / 2)) * sd
    assert 2 * sps.norm.cdf(1.96 / 1.3) - 1 + allowed < 0.95  # it can detect that
    truth = 0.9 * 0.5  # clean right with .9; of these the noise takes a Beta(2, 2) share
    covered = 0
    for _ in range(runs):
        rows = []
        for block in range(blocks):
            clean = rng.random(n) < 0.9
            hits = clean & (rng.random(n) > rng.beta(2, 2, n))
            rows += [row("nothing", block, clean, blocks=blocks)]
            rows += [row("only:layer:a", block, hits, blocks=blocks, groups=1)]
        drop = only(rows).groups[0].drop
        covered += drop.low <= truth <= drop.high
    assert abs(covered / runs - 0.95) < allowed


# --- kept digital --------------------------------------------------------------------------------

NONE_KEPT = [[0, 0, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0, 0]]
B_KEPT = [[1, 1, 1, 1], [1, 1, 1, 0], [1, 0, 1, 1], [1, 1, 1, 1, 0]]
AB_KEPT = CLEAN


def kept() -> list[Row]:
    parts = {"but:layer:": NONE_KEPT, "but:layer:b": B_KEPT, "but:layer:b,a": AB_KEPT}
    return [one for part, blocks in parts.items() for one in blocks_of_rows(part, blocks, first=4)]


def test_steps_keep_the_first_of_the_ranking_and_end_with_the_clean_network() -> None:
    ranking = only(alone() + kept())
    assert [step.kept for step in ranking.steps] == [(), ("b",), ("b", "a"), ("b", "a", "c")]
    assert [step.weights for step in ranking.steps] == [0, 30, 40, 100]
    assert [step.macs for step in ranking.steps] == [0, 3000, 4000, 4000]
    assert [step.accuracy.mean for step in ranking.steps] == pytest.approx(
        [1 / 17, 14 / 17, 15 / 17, 15 / 17]
    )
    assert ranking.steps[-1].accuracy == ranking.clean_accuracy
    mean, half = longhand([1, 3 / 4, 2 / 4, 4 / 5], [4, 4, 4, 5])
    assert ranking.steps[1].gain.mean == pytest.approx(mean)
    assert ranking.steps[1].gain.low == pytest.approx(mean - half)
    assert ranking.steps[0].gain.mean == 0
    assert ranking.weight_share(ranking.steps[1]) == pytest.approx(0.3)
    assert ranking.mac_share(ranking.steps[1]) == pytest.approx(0.75)


def test_groups_kept_that_are_not_the_first_of_the_ranking_are_left_out() -> None:
    other = blocks_of_rows("but:layer:a", B_KEPT, first=4)
    assert len(only(alone() + kept() + other).steps) == 4
    assert only(alone()).steps == ()


def test_a_finding_needs_more_than_half_back_for_sure() -> None:
    found = only(alone() + kept()).finding
    assert found is not None
    assert found.step.kept == ("b",)
    assert found.before.mean == pytest.approx(1 / 17)
    little = [_with(r, {"part": "x"}) if r.part.startswith("but:layer:b") else r for r in kept()]
    assert only(alone() + little).finding is None
    weak = blocks_of_rows(
        "but:layer:b", [[1, 0, 0, 0], [0, 0, 1, 0], [1, 1, 1, 1], [0] * 5], first=4
    )
    weak += [r for r in kept() if r.part == "but:layer:"]
    assert only(alone() + weak).finding is None


def test_a_finding_is_stricter_the_more_numbers_were_tried() -> None:
    """The ends hold for all numbers together (Bonferroni)."""
    found = []
    for tried in (1, 2):
        rows = [row("nothing", b, [1] * 20, blocks=8, groups=9) for b in range(8)]
        for i, name in enumerate("abcdefghi"):
            hits = [0] * (9 - i) + [1] * (11 + i)
            rows += [row(f"only:layer:{name}", b, hits, blocks=8, groups=9) for b in range(8)]
        rows += [row("but:layer:", b, [0] * 20, blocks=8) for b in range(8, 16)]
        beyond = [12, 11, 9, 13, 10, 12, 11, 11]  # of 20; 10 is half of the way
        mean, half = longhand([k / 20 - 0.5 for k in beyond], [20] * 8)
        wide = half * float(sps.t.ppf(0.9875, 7) / sps.t.ppf(0.975, 7))
        assert mean - half > 0 > mean - wide
        rows += [row("but:layer:a", 8 + b, [1] * k + [0] * (20 - k)) for b, k in enumerate(beyond)]
        if tried == 2:
            rows += [row("but:layer:a,b", b, [0] * 20) for b in range(8, 16)]
        found.append(only(rows).finding)
    assert found[0] is not None
    assert found[1] is None


# --- what may be asked ---------------------------------------------------------------------------


def test_steps_are_numbers_up_to_the_number_of_groups() -> None:
    assert parse_steps("5, 0,1,5") == (0, 1, 5)
    assert chosen_steps((), groups=10) == [0, 1, 2, 3, 5, 8]
    assert chosen_steps((), groups=1) == [0]
    assert chosen_steps((4, 2), groups=4) == [0, 2]
    for text in ("", "1,,2", "-1", "1.5", "x", "9" * 10):
        with pytest.raises(ValueError, match="keep must be whole numbers >= 0"):
            parse_steps(text)
    with pytest.raises(ValueError, match="between 0 and the 4 groups there are, got 5"):
        chosen_steps((5,), groups=4)


@pytest.mark.parametrize(
    "text", ["stuck(0.1)", "lognormal(0.1)", "gaussian(0.1) + quantize(bits=4)"]
)
def test_noise_that_images_cannot_have_on_their_own_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="per-image chips do not hold for"):
        check_ranked(spec.parse(text), ("kernel",), PerImage(), has_hits=True)
    check_ranked(spec.parse(text), ("kernel",), Chips(), has_hits=False)
    check_ranked(spec.parse(text), ("kernel",), Auto(), has_hits=False)


def test_other_requests_that_cannot_be_ranked_are_refused() -> None:
    with pytest.raises(ValueError, match="noise on norm_stats"):
        check_ranked(
            spec.parse("gaussian(0.1)"), ("kernel", "norm_stats"), PerImage(), has_hits=True
        )
    with pytest.raises(ValueError, match="a score that is the mean over single images"):
        check_ranked(spec.parse("gaussian(0.1)"), ("kernel",), PerImage(), has_hits=False)
    with pytest.raises(ValueError, match="nothing to rank without noise"):
        check_ranked(spec.parse("none"), ("kernel",), Auto(), has_hits=True)
    with pytest.raises(ValueError, match="compared on the same images, and design nested"):
        check_ranked(spec.parse("gaussian(0.1)"), ("kernel",), Nested(), has_hits=True)
    for text in ("quantize(bits=4) + laplace(0.1)", "quantize(bits=4)"):
        check_ranked(spec.parse(text), ("kernel", "bias"), PerImage(), has_hits=True)


def test_parts_are_named_by_grouping_and_groups() -> None:
    assert only_part("layer", "conv1") == "only:layer:conv1"
    assert but_part("block", ["a", "b.c"]) == "but:block:a,b.c"
    assert but_part("layer", []) == "but:layer:"


# --- what is shown -------------------------------------------------------------------------------


def test_the_json_holds_everything_and_no_nan() -> None:
    document = only(alone() + kept()).as_json()
    text = json.dumps(document, allow_nan=False)
    again = json.loads(text)
    assert [entry["name"] for entry in again["ranking"]] == ["b", "a", "c"]
    assert again["ranking"][2]["ahead_of_next"] == {"mean": None, "low": None, "high": None}
    assert [len(entry["kept"]) for entry in again["digital"]] == [0, 1, 2, 3]
    assert (again["images"], again["blocks"], again["finding"]) == (17, 4, 1)
    assert (again["weights"], again["macs"]) == (100, 4000)
    json.dumps(only([r for r in alone() if r.chip == 0]).as_json(), allow_nan=False)


def test_tables_say_rank_drop_ties_and_shares() -> None:
    ranking = only(alone() + kept())
    lines = group_lines(ranking)
    assert [line["rank"] for line in lines] == ["1", "2", "3"]
    assert [line["weights"] for line in lines] == ["30", "10", "60"]
    assert [line["macs"] for line in lines] == ["75", "25", "0"]
    assert [line["tied"] for line in lines] == [True, True, False]
    assert lines[1]["drop"] == stats.percent(ranking.groups[1].drop)
    steps = step_lines(ranking)
    assert [line["joined"] for line in steps] == ["none", "+ b", "+ a", "+ c"]
    assert [line["gain"] == "" for line in steps] == [True, False, False, False]
    assert len(list(terminal_tables(ranking))) == 2
    assert len(list(terminal_tables(only(alone())))) == 1


def test_shares_have_two_digits_that_say_something() -> None:
    shares = (0, 0.000016, 0.0016, 0.04, 0.0996, 0.217, 1, math.nan)
    assert [share_text(s) for s in shares] == ["0", "0.0016", "0.16", "4", "10", "22", "100", "-"]


def test_a_finding_is_one_sentence() -> None:
    ranking = only(alone() + kept())
    text = finding_text(ranking)
    assert text is not None
    assert text.startswith("Kept digital, the first of 3 layers (30 % of the weights, 75 % of the ")
    assert text.endswith("more than half of the way to the clean 88.2 %.")
    assert finding_text(only(alone())) is None


def test_the_lines_of_the_figure_are_accuracy_against_both_shares() -> None:
    ranking = only(alone() + kept())
    weights, macs = digital_lines(ranking)
    assert weights.x == pytest.approx([0, 30, 40, 100])
    assert macs.x == pytest.approx([0, 75, 100, 100])
    assert weights.y == macs.y == pytest.approx([100 * s.accuracy.mean for s in ranking.steps])
    one_block = only([r for r in alone() + kept() if r.chip % 4 == 1])
    assert digital_lines(one_block)[0].low[1] == digital_lines(one_block)[0].y[1]
    assert digital_lines(only(alone())) == []


def test_the_page_shows_a_ranking_and_escapes_names() -> None:
    evil = [_with(r, {"part": r.part.replace(":b", ":<b>&b")}) for r in alone() + kept()]
    page = render([], source="s.db", rankings=rankings_of(evil))
    body = page[page.index("<body>") :]
    assert "which layers lose accuracy" in body
    assert "<b>" not in body.replace("\\u003cb\\u003e", "")
    assert "&lt;b&gt;&amp;b" in body
    assert finding_text(only(alone() + kept()))[:30] in body  # type: ignore[index]
    names = drop_figure(only(evil)).data[0].y
    assert list(names) == ["&lt;b&gt;&amp;b", "a", "c"]


def test_a_report_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing to report"):
        write_report([], tmp_path / "r.html", source="s.db")
    write_report([], tmp_path / "r.html", source="s.db", rankings=rankings_of(alone()))
    assert (tmp_path / "r.html").stat().st_size > 10_000


@pytest.mark.parametrize("ending", [".png", ".pdf", ".svg"])
def test_the_paper_figure_is_written_whole(tmp_path: Path, ending: str) -> None:
    target = tmp_path / f"f{ending}"
    caption = write_ranking_figure(only(alone() + kept()), target)
    assert "95 % intervals for" in caption
    assert ending != ".svg" or "95 % intervals" not in target.read_text()
    assert target.stat().st_size > 5_000
    assert [file.name for file in tmp_path.iterdir()] == [target.name]


def test_the_paper_figure_needs_no_steps_but_a_known_ending(tmp_path: Path) -> None:
    write_ranking_figure(only(alone()), tmp_path / "f.png")
    with pytest.raises(ValueError, match="unknown ending of a figure '.jpg'"):
        write_ranking_figure(only(alone()), tmp_path / "f.jpg")
