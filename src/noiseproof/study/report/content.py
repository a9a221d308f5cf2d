"""All that the report of a study says, computed once, as plain values."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from noiseproof.results import Estimate, Row
from noiseproof.study.facts import Facts
from noiseproof.study.file import Study
from noiseproof.study.measured import Measured, measured_of
from noiseproof.study.profiles import Profile
from noiseproof.study.report.compared import Compared, compared_of
from noiseproof.study.report.hulls import Hulled, hulled_of
from noiseproof.study.report.panels import Panel, panels_of
from noiseproof.study.report.progress import NetworkLine, Progress, networks_of, progress_of
from noiseproof.study.report.published import Beside, Matched, beside_of, matched_of
from noiseproof.study.report.words import Names, counts, many, names_of
from noiseproof.study.verdicts import of_parts, said
from noiseproof.study.wanted import Grid


@dataclass(frozen=True, kw_only=True)
class StudyReport:
    """One profile of a study, with its verdicts."""

    study: Study
    profile: str
    command: str
    names: Names
    progress: Progress
    compared: tuple[Compared | Hulled, ...]
    beside: tuple[Beside, ...]
    matched: tuple[Matched, ...]
    panels: tuple[Panel, ...]
    networks: tuple[NetworkLine, ...]
    provenance: tuple[tuple[str, str], ...]
    others: tuple["StudyReport", ...] = ()  # of the study's other profiles that have rows

    @property
    def first(self) -> Compared | Hulled:
        """The comparison whose curves are drawn."""
        return self.compared[0]

    @property
    def parts(self) -> tuple[Compared | Hulled, ...]:
        """The comparisons that decide, each a part of the claim."""
        return tuple(one for one in self.compared if one.comparison.decides) or (self.first,)

    @cached_property
    def verdict(self) -> tuple[str, str]:
        """Kind and text of what came of the whole claim."""
        return of_parts([one.verdict for one in self.parts])

    @property
    def about(self) -> str:
        """The profile's size, in its file's words."""
        return self.study.profiles[self.profile].about

    @cached_property
    def headline(self) -> str:
        """`Verdict: reproduced. It holds in all 4 cases`, with what limits it."""
        return f"{verdict_lead(self.progress)}: {said(*self.verdict)}"

    @property
    def not_learned(self) -> tuple[NetworkLine, ...]:
        """Networks whose clean accuracy is too low for a share of it to mean something."""
        return tuple(line for line in self.networks if line.has_not_learned)


def verdict_lead(progress: Progress) -> str:
    """`Verdict`, or `Verdict so far (unfinished: 12 of 40 curves measured)`."""
    if not progress.text:
        return "Verdict"
    lead = "Verdict" if progress.is_finished else "Verdict so far"
    return f"{lead} ({progress.text})"


def report_of(
    study: Study,
    profile: str,
    grid: Grid,
    facts: Facts,
    rows: Iterable[Row],
    *,
    command: str,
    others: Iterable[Profile] = (),
) -> StudyReport:
    """What there is to say of a profile, finished or not. `command` is printed as what repeats it;
    `others`: the study's other profiles that have rows.

    Raises:
        ValueError: where a comparison does not tell curves apart that it selects.
    """
    measured = measured_of(grid, facts, rows)
    names = names_of(task.specs[0] for task in grid.tasks)
    comparisons = study.comparisons_of(profile)
    first, published = comparisons[0], study.claim.published
    return StudyReport(
        study=study,
        profile=profile,
        command=command,
        names=names,
        progress=progress_of(grid, facts, measured, names),
        compared=tuple(
            hulled_of(one, study.claim, grid, measured, names)
            if one.hull
            else compared_of(one, grid, measured, names)
            for one in comparisons
        ),
        beside=tuple(beside_of(first, published, measured)),
        matched=tuple(matched_of(first, published, measured)),
        panels=panels_of(first, measured, names),
        networks=networks_of(grid, facts, measured),
        provenance=tuple(_provenance(study, profile, measured, names)),
        others=tuple(
            report_of(study, one.name, one.grid, one.facts, one.rows, command="") for one in others
        ),
    )


def _provenance(
    study: Study, profile: str, measured: Sequence[Measured], names: Names
) -> list[tuple[str, str]]:
    """Name and text of what a reader needs to repeat or doubt a result."""
    points = [point for one in measured for point in one.points]
    rows = [row for point in points for row in point.rows]
    rows += {id(one.points[0].clean): one.points[0].clean for one in measured}.values()
    sources = {(row.data, row.data_sha256[:12]) for row in rows}
    shas = ", ".join(f"{name} (test images sha256 {sha or 'unknown'})" for name, sha in sources)
    found = {
        "profile": f"{profile}: {study.profiles[profile].about}",
        "data": shas or study.data,
        "noises": "; ".join(
            text if text == short else f"{short}: {text}"
            for text, short in _noises(measured, names)
        ),
        "rows": f"{len(rows):,}",
        "simulated chips": f"{sum(point.chips for point in points):,}",
        "chips at a level": counts(point.chips for point in points),
        "test images a chip": counts(point.images for point in points),
        "test images of a clean network": counts({one.points[0].clean.images for one in measured}),
        "images through noisy networks": f"{sum(p.image_passes for p in points):,}",
        "non-finite outputs": _nonfinite(points),
        "designs": _all(str(point.design) for point in points),
        "paces": _all(row.pace for row in rows if row.pace),
        "recalibrations": _all(point.rows[0].recalibrate for point in points),
        "devices": _all(row.device for row in rows),
        "versions": _all(row.versions for row in rows),
    }
    return [(name, text) for name, text in found.items() if text]


def _noises(measured: Sequence[Measured], names: Names) -> list[tuple[str, str]]:
    families = dict.fromkeys(one.task.family for one in measured)
    return [(family, names.value("noise", family)) for family in families]


def _nonfinite(points: Sequence[Estimate]) -> str:
    found = sum(point.nonfinite for point in points)
    return f"{many(found, 'image')}, counted as misses" if found else ""


def _all(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(texts))
