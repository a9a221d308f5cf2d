"""The studies of the repository: what is written there is what the committed rows say."""

import json
import runpy
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from noiseproof.study import grid_of, read_study
from noiseproof.study.facts import read_facts
from noiseproof.study.report import StudyReport, summary_row
from noiseproof.study.report.markdown import markdown_of

STUDIES = Path(__file__).parent.parent / "studies"
FILES = sorted(STUDIES.glob("*/study.toml"))
TABLE = runpy.run_path(str(STUDIES / "table.py"))
MEASURED: list[Path] = TABLE["measured"]()
report_in: Callable[[Path], StudyReport] = cache(TABLE["report_in"])


def name(path: Path) -> str:
    return path.parent.name


@pytest.mark.parametrize("file", FILES, ids=name)
def test_every_profile_of_a_study_has_a_grid(file: Path) -> None:
    study = read_study(file)
    assert list(study.profiles) == ["quick", "full"]
    for profile in study.profiles:
        assert grid_of(study, profile).tasks


@pytest.mark.parametrize("folder", MEASURED, ids=name)
def test_the_committed_report_is_that_of_the_committed_rows(folder: Path) -> None:
    report = report_in(folder)
    assert (folder / "report.md").read_text() == markdown_of(report)
    assert summary_row(report) in (STUDIES / "README.md").read_text().splitlines()


@pytest.mark.parametrize("folder", MEASURED, ids=name)
def test_the_measured_networks_are_committed(folder: Path) -> None:
    facts = read_facts(folder / "networks.json")
    trainings = grid_of(read_study(folder.parent / "study.toml"), "quick").trainings
    measured = [network.name for network in trainings if network.name in facts]
    assert measured
    for network in measured:
        card = json.loads((STUDIES / "weights" / network / "weights.json").read_text())
        assert card["sha256"] == facts[network].sha256


# --- the same intervals without noiseproof --------------------------------------------------------


@cache
def curves(folder: Path) -> dict[tuple[str, str, str, str], dict[float, list[float]]]:
    """(weights, targets, noise without its level, recalibration) -> level -> scores."""
    pq = pytest.importorskip("pyarrow.parquet")
    columns = ["checkpoint", "targets", "noise", "recalibrate", "level", "score"]
    found: dict[tuple[str, str, str, str], dict[float, list[float]]] = {}
    for row in pq.read_table(folder / "rows.parquet", columns=columns).to_pylist():
        noise = row["noise"]
        if noise != "none":
            noise = noise.replace(f"({row['level']:g},", "(level,")
        place = (row["checkpoint"], row["targets"], noise, row["recalibrate"])
        found.setdefault(place, {}).setdefault(row["level"], []).append(row["score"])
    return found


def side(
    folder: Path, at: dict[str, Any], selection: dict[str, Any], score: str
) -> dict[str, float]:
    """Seed -> value, of the networks that a cell and a side select."""
    wanted = at | selection
    values: dict[str, float] = {}
    for fact in read_facts(folder / "networks.json").values():
        of_curve = ("targets", "noise", "recalibrate", "design")
        if any(fact.factors[key] != wanted[key] for key in wanted if key not in of_curve):
            continue
        for place, levels in curves(folder).items():
            named = dict(zip(("targets", "noise", "recalibrate"), place[1:], strict=True))
            if place[0] != fact.sha256 or named["noise"] == "none":
                continue
            if any(named[key] != wanted[key] for key in named if key in wanted):
                continue
            (clean,) = curves(folder)[fact.sha256, "", "none", "off"][None]
            mean = float(np.mean([np.mean(scores) for scores in levels.values()]))
            value = {"average": mean, "average_normalised": mean / clean, "clean": clean}[score]
            assert score == "clean" or str(fact.factors["seed"]) not in values, wanted
            values[str(fact.factors["seed"])] = value
    return values


@pytest.mark.parametrize("folder", MEASURED, ids=name)
def test_scipy_finds_the_same_intervals_in_the_committed_rows(folder: Path) -> None:
    compared = 0
    for comparison in report_in(folder).as_json()["comparisons"]:
        if comparison["unit"] != "training" or comparison["peak"]:
            continue
        for cell in comparison["cells"]:
            better, worse = (
                side(folder, cell["at"], cell[which]["selection"], comparison["score"])
                for which in ("better", "worse")
            )
            assert (len(better), len(worse)) == (cell["better"]["n"], cell["worse"]["n"])
            if min(len(better), len(worse)) < 2:
                continue
            if cell["paired"]:
                assert better.keys() == worse.keys()
                found = stats.ttest_rel([better[s] for s in better], [worse[s] for s in better])
            else:
                found = stats.ttest_ind([*better.values()], [*worse.values()], equal_var=False)
            low, high = found.confidence_interval(0.95)
            told = cell["difference"]
            assert (told["low"], told["high"]) == pytest.approx((low, high), abs=1e-9)
            margin = comparison["margin"] / 100
            says = "for" if low > -margin else "against" if high < -margin else "open"
            assert cell["says"] == says
            compared += 1
    assert compared
