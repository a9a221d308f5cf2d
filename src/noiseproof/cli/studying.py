"""What `study plan` and `study run` do."""

from dataclasses import asdict
from pathlib import Path

import typer

from noiseproof.cli.bars import StudyBar
from noiseproof.cli.console import print_plan
from noiseproof.cli.printing import print_json, say, say_rows
from noiseproof.cli.study_options import ClusterOptions, MachineOptions, NeedOptions, PlaceOptions
from noiseproof.core.device import using_threads
from noiseproof.core.threads import parse_threads
from noiseproof.results import Tally
from noiseproof.study import (
    STORE,
    News,
    estimate,
    open_run,
    open_study,
    out_folder,
    powers_of,
    profiles_of,
    run_study,
)
from noiseproof.study.report import power_document, power_lines


def plan_study(
    file: Path, place: PlaceOptions, needs: NeedOptions, machine: MachineOptions, *, as_json: bool
) -> None:
    """Say what the planned seeds and chips can tell apart; then time a little of each kind of work,
    and say how long all of it takes."""
    study, name, grid = open_study(file, place.profile)
    opened = open_run(file, name, out=place.out, device=machine.device, **asdict(needs))
    profiles = list(profiles_of(file, study, name, place.out))
    powers = powers_of(
        study.comparisons_of(name), grid, profiles, test_images=len(opened.data.test)
    )
    for line in power_lines(powers, grid):
        print(line)
    with using_threads(parse_threads(machine.threads)):
        lines = estimate(
            opened.grid, opened.data, opened.places, device=machine.device, on_step=say
        )
    print_plan(f"{study.name} ({name}: {study.profiles[name].about})", lines)
    if as_json:
        print_json(
            {
                "study": study.name,
                "profile": name,
                "networks": len(grid.networks),
                "curves": len(grid.tasks),
                "seconds": sum(line.seconds for line in lines),
                "power": power_document(powers),
                "work": [asdict(line) | {"seconds": line.seconds} for line in lines],
            }
        )


def carry_on(
    file: Path, place: PlaceOptions, needs: NeedOptions, machine: ClusterOptions, *, fresh: bool
) -> None:
    """Run what is missing, and exit with 1 where some of it failed."""
    study, name, _ = open_study(file, place.profile)
    tally = Tally()
    with StudyBar() as bar:

        def show(news: News) -> None:
            nonlocal tally
            tally = news.tally
            bar.update(news)

        failures = run_study(
            file,
            name,
            out=place.out,
            device=machine.device,
            threads=parse_threads(machine.threads),
            ray=machine.ray,
            on_news=show,
            on_training=bar.training,
            fresh=fresh,
            **asdict(needs),
        )
    say_rows(out_folder(study, name, place.out) / STORE, tally)
    for failure in failures:
        say(failure)
    if failures:
        say(f"{len(failures)} of the pieces failed; all others are done")
        raise typer.Exit(1)
