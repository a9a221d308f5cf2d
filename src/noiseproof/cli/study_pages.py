"""What `study status` and `study report` do: no torch."""

from dataclasses import asdict
from pathlib import Path

from noiseproof.cli.console import print_status
from noiseproof.cli.options import ShowOptions
from noiseproof.cli.printing import print_json
from noiseproof.cli.study_options import PlaceOptions, StudyFigureOptions
from noiseproof.report import parse_labels
from noiseproof.study import (
    open_study,
    other_profiles,
    out_folder,
    progress_of,
    results_of,
)
from noiseproof.study.report import (
    document_of,
    report_of,
    write_study_figure,
    write_study_report,
)


def print_progress(file: Path, place: PlaceOptions, *, as_json: bool) -> None:
    """How far a run is."""
    study, name, grid = open_study(file, place.profile)
    facts, rows = results_of(out_folder(study, name, place.out))
    states = progress_of(grid, facts, rows)
    print_status(f"{study.name} ({name})", states)
    if as_json:
        print_json({"study": study.name, "profile": name, "networks": [asdict(s) for s in states]})


def write_pages(
    file: Path, place: PlaceOptions, show: ShowOptions, output: StudyFigureOptions
) -> None:
    """The report of what is there, and the figure where one is asked for."""
    study, name, grid = open_study(file, place.profile)
    folder = out_folder(study, name, place.out)
    facts, rows = results_of(folder)
    if not rows:
        raise ValueError(f"{folder} holds no rows: run `noiseproof study run {file}` first")
    command = f"noiseproof study run {file} --profile {name}"
    others = other_profiles(file, study, name, place.out)
    found = report_of(study, name, grid, facts, rows, command=command, others=others)
    labels = parse_labels(show.label)
    if output.figure is None and (show.only or labels or show.title or show.size):
        raise ValueError("--only, --label, --title and --size are the figure's: give --figure")
    if output.figure is not None:
        look = {"title": show.title, "size": show.size}
        caption = write_study_figure(found, output.figure, only=show.only, labels=labels, **look)
        print(f"Caption: {caption}")
        print(f"Figure: {output.figure}")
    for path in write_study_report(found, folder):
        print(f"Report: {path}" if path.suffix != ".svg" else f"Picture: {path}")
    if output.as_json:
        print_json(document_of(found))
