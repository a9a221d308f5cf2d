"""Renders every study's report from its committed rows, and the table in README.md from them.

python studies/table.py
"""

from pathlib import Path

from noiseproof.core.files import replacing
from noiseproof.results.store import exported
from noiseproof.study import grid_of, read_study
from noiseproof.study.facts import read_facts
from noiseproof.study.report import (
    StudyReport,
    report_of,
    summary_head,
    summary_row,
    write_study_report,
)

HERE = Path(__file__).parent
PROFILE = "quick"
BEGIN, END = "<!-- table -->", "<!-- end of table -->"


def measured() -> list[Path]:
    """The folders of rows."""
    return sorted(file.parent for file in HERE.glob(f"*/{PROFILE}/rows.parquet"))


def report_in(folder: Path) -> StudyReport:
    """The report of a folder's rows, with the command that measures them again."""
    file = folder.parent / "study.toml"
    study = read_study(file)
    grid = grid_of(study, PROFILE)
    has_ready = any(network.recipe is None for network in grid.networks)
    command = (
        f"noiseproof study run {file.relative_to(HERE.parent)} --profile {PROFILE} "
        f"--weights studies/weights{' --checkpoints FOLDER' if has_ready else ''}"
    )
    rows = exported(folder / "rows.parquet")
    facts = read_facts(folder / "networks.json")
    return report_of(study, PROFILE, grid, facts, rows, command=command)


def main() -> None:
    """One row for each study that has rows."""
    lines = [summary_head()]
    for folder in measured():
        report = report_in(folder)
        write_study_report(report, folder)
        lines.append(summary_row(report))
    readme = HERE / "README.md"
    before, _, rest = readme.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    with replacing(readme) as temporary:
        temporary.write_text(f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{after}")


if __name__ == "__main__":
    main()
