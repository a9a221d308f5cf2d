"""The studies of the repository: what is written there is what the committed rows say."""

import json
import re
import runpy
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.path import Path as Outline
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import linprog
from scipy.spatial import ConvexHull

from noiseproof.core.rng import stream
from noiseproof.study import grid_of, read_study
from noiseproof.study.facts import read_facts
from noiseproof.study.report import StudyReport, document_of, summary_row
from noiseproof.study.report.markdown import markdown_of

STUDIES = Path(__file__).parents[2] / "studies"
FILES = sorted(STUDIES.glob("*/study.toml"))
TABLE = runpy.run_path(str(STUDIES / "table.py"))
MEASURED: list[Path] = TABLE["measured"]()
report_in: Callable[[Path], StudyReport] = cache(TABLE["report_in"])


def name(path: Path) -> str:
    return path.parent.name if path.is_file() else f"{path.parent.name}-{path.name}"


@pytest.mark.parametrize("file", FILES, ids=name)
def test_every_profile_of_a_study_has_a_grid(file: Path) -> None:
    study = read_study(file)
    assert (*study.profiles,)[:: len(study.profiles) - 1] == ("quick", "full")
    for profile in study.profiles:
        assert grid_of(study, profile).tasks


def test_every_study_has_been_measured() -> None:
    assert {folder.parent for folder in MEASURED} == {file.parent for file in FILES}
    assert {folder.parent for folder in MEASURED if folder.name == "quick"} == {
        file.parent for file in FILES
    }


@pytest.mark.parametrize("folder", MEASURED, ids=name)
def test_the_committed_report_is_that_of_the_committed_rows(folder: Path) -> None:
    report = report_in(folder)
    assert (folder / "report.md").read_text() == markdown_of(report)
    assert summary_row(report) in (STUDIES / "README.md").read_text().splitlines()


@pytest.mark.parametrize("folder", MEASURED, ids=name)
def test_the_measured_networks_are_committed(folder: Path) -> None:
    facts = read_facts(folder / "networks.json")
    trainings = grid_of(read_study(folder.parent / "study.toml"), folder.name).trainings
    measured = [network.name for network in trainings if network.name in facts]
    assert measured or not trainings, "ready networks alone have no weights here"
    for network in measured:
        home = TABLE["weights_of"](network)
        card = json.loads((home / network / "weights.json").read_text())
        assert card["sha256"] == facts[network].sha256


# --- the same intervals without noiseproof --------------------------------------------------------


Place = tuple[str, str, str, str, bool, str, str]
Unit = tuple[int, float, str]


@cache
def curves(folder: Path) -> dict[Place, dict[float, list[Unit]]]:
    """(weights, normalisation, targets, form of the statistics, folded or not, noise without its
    level, recalibration) -> level -> units."""
    pq = pytest.importorskip("pyarrow.parquet")
    columns = ["checkpoint", "norm", "targets", "stats_as", "mapping", "noise", "recalibrate"]
    columns += ["level", "chip", "score", "design"]
    there = set(pq.read_schema(folder / "rows.parquet").names)  # older tables lack a form
    columns = [one for one in columns if one in there]
    found: dict[Place, dict[float, list[Unit]]] = {}
    for row in pq.read_table(folder / "rows.parquet", columns=columns).to_pylist():
        noise = row["noise"]
        if noise != "none":
            noise = re.sub(r"\([0-9.e-]+,", "(level,", noise, count=1)
        form = row.get("stats_as") or ("variance" if "norm_stats" in row["targets"] else "")
        folded = row.get("mapping") == "fold_norm=yes"
        of_curve = (row["targets"], form, folded, noise, row["recalibrate"])
        place = (row["checkpoint"], row["norm"], *of_curve)
        unit = (row["chip"], row["score"], row["design"])
        found.setdefault(place, {}).setdefault(row["level"], []).append(unit)
    return found


def share_kept(units: list[Unit], clean_hits: dict[str, list[int]]) -> float:
    """Noisy over clean, on the same images; all units are nested chips of one size."""
    design = units[0][2]
    images = int(design.removeprefix("nested(").removesuffix(")"))
    clean = np.mean([clean_hits[design][chip] for chip, _, _ in units]) / images
    return float(np.mean([score for _, score, _ in units]) / clean)


def side(
    folder: Path, at: dict[str, Any], selection: dict[str, Any], score: str
) -> dict[str, float]:
    """Seed -> value, of the networks that a cell and a side select."""
    wanted = at | selection
    values: dict[str, float] = {}
    for fact in read_facts(folder / "networks.json").values():
        of_curve = ("targets", "stats_as", "fold_norm", "noise", "recalibrate", "design")
        if any(fact.factors[key] != wanted[key] for key in wanted if key not in of_curve):
            continue
        for place, levels in curves(folder).items():
            named = dict(zip(of_curve[:-1], place[2:], strict=True))
            if place[:2] != (fact.sha256, fact.factors["norm"]) or named["noise"] == "none":
                continue
            if any(named[key] != wanted[key] for key in named if key in wanted):
                continue
            clean_place = (*place[:2], "", "", False, "none", "off")
            ((_, clean, _),) = curves(folder)[clean_place][None]
            every = levels.values()
            value = {
                "clean": lambda clean=clean: clean,
                "average": lambda every=every: np.mean(
                    [np.mean([one for _, one, _ in units]) for units in every]
                ),
                "average_normalised": lambda every=every, fact=fact: np.mean(
                    [share_kept(units, fact.clean_hits) for units in every]
                ),
            }[score]()
            assert score == "clean" or str(fact.factors["seed"]) not in values, wanted
            values[str(fact.factors["seed"])] = float(value)
    return values


@pytest.mark.parametrize("folder", MEASURED, ids=name)
def test_the_clean_hits_are_those_of_the_units_own_images(folder: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    table = pq.read_table(folder / "rows.parquet", filters=[("noise", "=", "none")]).to_pylist()
    clean = {(row["checkpoint"], row["norm"]): row for row in table}
    for fact in read_facts(folder / "networks.json").values():
        row = clean[fact.sha256, str(fact.factors["norm"])]
        bits = np.frombuffer(bytes.fromhex(row["hits"]), dtype=np.uint8)
        hits = np.unpackbits(bits)[: row["images"]]
        for design, found in fact.clean_hits.items():
            images = int(design.removeprefix("nested(").removesuffix(")"))
            for unit in (0, 1, len(found) - 1):
                dice = stream(int(fact.factors["seed"]), "nested images", unit)
                places = torch.randperm(row["images"], generator=dice)[:images]
                assert found[unit] == hits[places.numpy()].sum()


@pytest.mark.parametrize("folder", MEASURED, ids=name)
def test_scipy_finds_the_same_intervals_in_the_committed_rows(folder: Path) -> None:
    asked = [one for one in document_of(report_in(folder))["comparisons"] if not one["hull"]]
    of_trainings = [one for one in asked if one["unit"] == "training"]
    compared = 0
    for comparison in of_trainings:
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
    assert compared or not of_trainings


@pytest.mark.parametrize("folder", MEASURED, ids=name)
def test_other_code_finds_the_same_curves_and_distances_of_hulls(folder: Path) -> None:
    """A loop over the rows, scipy's linear programme written out, and a polygon by matplotlib."""
    for comparison in document_of(report_in(folder))["comparisons"]:
        if not comparison["hull"] or comparison["nonfinite"] != "misses":
            continue
        for cell in comparison["cells"]:
            points = np.ones((len(cell["levels"]), len(cell["sides"])))
            for place, asked in enumerate(cell["sides"]):
                found = kept_by(folder, cell["at"] | asked["selection"], asked["where"])
                assert len(found) == asked["n"]
                for row, level in enumerate(cell["levels"][1:], start=1):
                    points[row, place] = np.mean([one[level] for one in found])
            assert np.array(cell["curve"]) == pytest.approx(points)
            target = np.array([asked["published"] / 100 for asked in cell["sides"]])
            distance = far_from_hull(points, target)
            assert cell["distance"]["mean"] == pytest.approx(distance, abs=1e-6)
            if len(target) == 2:
                inside = Outline(points[ConvexHull(points).vertices]).contains_point(target)
                assert inside == (distance < 1e-9)


def kept_by(
    folder: Path, wanted: dict[str, Any], where: dict[str, Any]
) -> list[dict[float | None, float]]:
    """Of each network that a side of a hull selects: level -> the share that is kept."""
    of_curve = ("targets", "stats_as", "fold_norm", "noise", "recalibrate")
    found = []
    for fact in read_facts(folder / "networks.json").values():
        allowed = all(
            fact.factors[key] in (value if isinstance(value, list | tuple) else [value])
            for key, value in where.items()
        )
        if not allowed or any(
            fact.factors[key] != value for key, value in wanted.items() if key not in of_curve
        ):
            continue
        for place, levels in curves(folder).items():
            named = dict(zip(of_curve, place[2:], strict=True))
            if place[:2] != (fact.sha256, fact.factors["norm"]) or named["noise"] == "none":
                continue
            if all(named[key] == wanted[key] for key in named if key in wanted):
                found.append(
                    {level: share_kept(units, fact.clean_hits) for level, units in levels.items()}
                )
    return found


def far_from_hull(points: NDArray[np.float64], target: NDArray[np.float64]) -> float:
    """The least t such that weights w >= 0 of sum 1 have |w points - target| <= t everywhere."""
    n = len(points)
    rows, limits = [], []
    for values, wanted in zip(points.T, target, strict=True):
        rows += [[*values, -1.0], [*(-values), -1.0]]
        limits += [wanted, -wanted]
    found = linprog([0.0] * n + [1.0], rows, limits, [[1.0] * n + [0.0]], [1.0])
    return float(found.x[-1])
