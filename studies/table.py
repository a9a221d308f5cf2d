"""Renders every study's report from its committed rows, and the table in README.md from them.

python studies/table.py
"""

from pathlib import Path

from noiseproof.records import exported, replacing
from noiseproof.study import grid_of, read_study
from noiseproof.study.facts import read_facts
from noiseproof.study.report import report_of, summary_head, summary_row, write_study_report

HERE = Path(__file__).parent
PROFILE = "quick"
BEGIN, END = "<!-- table -->", "<!-- end of table -->"


def main() -> None:
    """One row for each study that has rows."""
    lines = [summary_head()]
    for file in sorted(HERE.glob("*/study.toml")):
        folder = file.parent / PROFILE
        if not (folder / "rows.parquet").is_file():
            continue
        study = read_study(file)
        command = (
            f"noiseproof study run {file.relative_to(HERE.parent)} --profile {PROFILE} "
            "--weights studies/weights"
        )
        report = report_of(
            study,
            PROFILE,
            grid_of(study, PROFILE),
            read_facts(folder / "networks.json"),
            exported(folder / "rows.parquet"),
            command=command,
        )
        write_study_report(report, folder)
        lines.append(summary_row(report))
    readme = HERE / "README.md"
    before, _, rest = readme.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    with replacing(readme) as temporary:
        temporary.write_text(f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{after}")


if __name__ == "__main__":
    main()
