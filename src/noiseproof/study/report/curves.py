"""The study's figure for a paper: normalised accuracy against level or time, a panel for each
combination."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType

from noiseproof.report.choosing import listing
from noiseproof.report.facets import Band, Facet
from noiseproof.report.looks import COLOURS, MARKERS, Look
from noiseproof.report.paper import write_bands
from noiseproof.report.plotting import DASHES, INTERVAL
from noiseproof.report.series import Series
from noiseproof.study.report.content import StudyReport
from noiseproof.study.report.panels import Line, Panel

NOTHING: Mapping[str, str] = MappingProxyType({})
Y_LABEL = "normalised accuracy (%)"


def write_study_figure(
    report: StudyReport,
    path: str | Path,
    *,
    only: Sequence[str] = (),
    labels: Mapping[str, str] = NOTHING,
    title: str = "",
    size: str = "",
) -> str:
    """Write the curves of the first comparison, and return a caption.

    - `report`: of the study.
    - `path`: .pdf, .svg or .png.
    - `only`: patterns of panels' titles and lines' names, of which a line has to fit one.
    - `labels`: texts in place of these.
    - `title`: above the panels.
    - `size`: `7x4in` or `17x10cm`.

    Raises:
        ValueError: for another ending or size, a pattern or a label of nothing, where the file
            cannot be written, or nothing is to be drawn.
    """
    panels = _chosen(report.panels, only)
    if not panels:
        raise ValueError("there is nothing to draw: no whole curve of a network that has learned")
    known = dict.fromkeys(
        name for panel in panels for name in (panel.title, *(line.label for line in panel.lines))
    )
    for name in labels:
        if name not in known:
            raise ValueError(f"--label {name!r} names nothing here: there are {listing(known)}")
    titles = _titles([labels.get(panel.title, panel.title) for panel in panels])
    facets = tuple(_facet(panel, name, labels) for panel, name in zip(panels, titles, strict=True))
    write_bands([Band(facets=facets)], path, title=title, size=size)
    counts = sorted({line.n for panel in panels for line in panel.lines})
    unit = "chips" if report.first.comparison.unit == "chip" else "trainings"
    interval = INTERVAL.replace("chips", unit)
    return f"Lines: means over {' or '.join(map(str, counts))} {unit}. Bands: {interval}."


def _chosen(panels: Sequence[Panel], only: Sequence[str]) -> list[Panel]:
    """The lines that fit a pattern, by their panel's title, a part of it, or their own name."""
    words = [(*panel.title.split("; "), panel.title) for panel in panels]
    lines = [line.label for panel in panels for line in panel.lines]
    for pattern in only:
        there = dict.fromkeys([*(w for some in words for w in some), *lines])
        if not any(fnmatchcase(word, pattern) for word in there):
            raise ValueError(f"--only {pattern!r} fits nothing: there are {listing(there)}")

    def fits(some: Sequence[str]) -> bool:
        return not only or any(fnmatchcase(word, one) for word in some for one in only)

    found = [
        replace(
            panel,
            lines=tuple(line for line in panel.lines if fits(names) or fits([line.label])),
        )
        for panel, names in zip(panels, words, strict=True)
    ]
    return [panel for panel in found if panel.lines]


def _titles(whole: Sequence[str]) -> list[str]:
    """What differs of the panels' titles, a line for each factor."""
    parts = [title.split("; ") for title in whole]
    shared = set.intersection(*(set(one) for one in parts))
    return ["\n".join(part for part in one if part not in shared) for one in parts]


def _facet(panel: Panel, title: str, labels: Mapping[str, str]) -> Facet:
    return Facet(
        title=title,
        series=tuple(_series(line, panel.x(line), labels) for line in panel.lines),
        x_label=panel.axis,
        y_label=Y_LABEL,
        from_zero=True,
        swept=panel.swept if panel.swept.is_time else None,
        times=panel.levels if panel.swept.is_time else (),
    )


def _series(line: Line, x: list[float], labels: Mapping[str, str]) -> Series:
    look = Look(
        label=labels.get(line.label, line.label),
        colour=COLOURS[line.place % len(COLOURS)],
        dash=tuple(DASHES)[line.place % len(DASHES)],
        marker=MARKERS[line.place % len(MARKERS)],
    )
    scaled = [one.scaled(100) for one in line.means]
    return Series(
        look=look,
        x=x,
        y=[one.mean for one in scaled],
        low=[one.low for one in scaled],
        high=[one.high for one in scaled],
        places=list(range(len(scaled))),
    )
