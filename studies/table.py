"""Renders every study's report from its committed rows, and the table in README.md from them.

python studies/table.py
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from noiseproof.core.files import replacing
from noiseproof.results.store import exported
from noiseproof.study import grid_of, other_profiles, read_study
from noiseproof.study.facts import read_facts
from noiseproof.study.hulls import HullCell
from noiseproof.study.report import (
    StudyReport,
    report_of,
    summary_head,
    summary_row,
    write_study_report,
)
from noiseproof.study.report.hull_figure import hull_svg
from noiseproof.study.report.hulls import Hulled

HERE = Path(__file__).parent
ALL = "kernel,bias,norm_affine,norm_stats"
BEGIN, END = "<!-- table -->", "<!-- end of table -->"


def measured() -> list[Path]:
    """The folders of rows, one for each profile of a study that is measured, in the order of the
    studies' names and of the profiles in their files."""
    found = {file.parent for file in HERE.glob("*/*/rows.parquet")}
    return [
        file.parent / profile
        for file in sorted(HERE.glob("*/study.toml"))
        for profile in read_study(file).profiles
        if file.parent / profile in found
    ]


def weights_of(network: str) -> Path:
    """The folder of folders that holds a trained network."""
    here, deep = HERE / "weights", HERE / "depth" / "weights"
    return deep if (deep / network).is_dir() else here


def report_in(folder: Path) -> StudyReport:
    """The report of a folder's rows, with the command that measures them again."""
    file = folder.parent / "study.toml"
    study = read_study(file)
    profile = folder.name
    grid = grid_of(study, profile)
    # Of ready networks alone none is asked for.
    folders = {weights_of(network.name) for network in grid.trainings} or {HERE / "weights"}
    (weights,) = folders
    # Weights that lie in the repository are found beside the study's file.
    ready = [one.weights for one in grid.networks if one.weights is not None]
    has_ready = any(not (folder.parent / weights).is_file() for weights in ready)
    command = (
        f"noiseproof study run {file.relative_to(HERE.parent)} --profile {profile} "
        f"--weights {weights.relative_to(HERE.parent)}"
    )
    command += " --checkpoints FOLDER" if has_ready else ""
    rows = exported(folder / "rows.parquet")
    facts = read_facts(folder / "networks.json")
    others = other_profiles(file, study, profile, folder)
    return report_of(study, profile, grid, facts, rows, command=command, others=others)


SHOWN = (("kernel", ""), (ALL, "deviation"), (ALL, "variance"))
"""What the picture of the page is of, relative to each tensor's standard deviation."""


def hull_picture(report: StudyReport) -> str:
    """The published pair beside the curves of three definitions, as SVG."""
    hulled = next(one for one in report.compared if isinstance(one, Hulled))
    (pair,) = hulled.hull_sets
    by_name = {(dict(one.at)["targets"], dict(one.at)["stats_as"]): one for one in _std(pair.cells)}
    return hull_svg(hulled, replace(pair, cells=tuple(by_name[one] for one in SHOWN)), number=1)


def _std(cells: Sequence[HullCell]) -> list[HullCell]:
    noise = "gaussian(level, reference=std, scope=tensor)"
    return [
        one for one in cells if dict(one.at)["noise"] == noise and not dict(one.at)["fold_norm"]
    ]


def main() -> None:
    """One row for each profile that has rows, and the picture of the page."""
    lines = [summary_head()]
    for folder in measured():
        report = report_in(folder)
        write_study_report(report, folder)
        if folder == HERE / "batchnorm" / "depth":
            with replacing(HERE / "hull.svg") as temporary:
                temporary.write_text(hull_picture(report))
        lines.append(summary_row(report))
    readme = HERE / "README.md"
    before, _, rest = readme.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    with replacing(readme) as temporary:
        temporary.write_text(f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{after}")


if __name__ == "__main__":
    main()
