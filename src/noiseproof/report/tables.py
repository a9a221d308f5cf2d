"""The page's tables, as rows of texts."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

from noiseproof import stats
from noiseproof.report.looks import is_remedied
from noiseproof.report.panels import Names, Panel, StreamPanel, network_of
from noiseproof.report.words import Network, count_text, origin_of
from noiseproof.results import Curve, Row, Trace, chips_in_common, paired_difference
from noiseproof.results.clean import clean_value
from noiseproof.results.curves import Estimate
from noiseproof.results.showing import or_dash
from noiseproof.specs import ScoreFacts
from noiseproof.stats import Interval, Unit

Cells = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """An estimate; `best` of its column, or `tied`: not told apart from the best."""

    text: str
    best: bool = False
    tied: bool = False


def networks(clean: dict[Network, Row], names: Names) -> list[Cells]:
    """What was measured: one entry per network; `clean` holds other rows where there are none."""
    found = []
    for network, row in clean.items():
        known = row.noise == "none"
        value = f"{row.metric} {clean_value(row)}"
        found.append(
            {
                "name": names[network],
                "row": row,
                "clean": value if known else "-",
                "images": f"{row.images:,}" if known else "-",
            }
        )
    return found


def overview(panel: Panel) -> Cells:
    """A line per way to recalibrate, a column per level, what it costs at the end."""
    # Column by column, since the best of a level is found among all
    # lines; lines are read off after.
    columns = [_column(panel, level) for level in panel.levels]
    return {
        "heads": [panel.swept.text(level, alone=panel.alone) for level in panel.levels],
        "lines": [
            {
                "look": look,
                "cells": [column[place] for column in columns],
                "origin": origin_of(curve.first),
                "extra": f"{curve.first.extra_images:,}",
            }
            for place, (curve, look) in enumerate(zip(panel.curves, panel.drawn, strict=True))
        ],
        "chips": count_text(p.chips for c in panel.curves for p in c.points),
        "images": count_text(p.images for c in panel.curves for p in c.points),
        "dotted": any(look.dash == "dot" for look in panel.looks),
        "compared": any(cell.best for column in columns for cell in column),
    }


def _column(panel: Panel, level: float | None) -> list[Cell]:
    """One level's cells. The best is the best mean of a network that has several there; none where
    nobody knows which way the score is better."""
    points = [{p.level: p for p in curve.points}.get(level) for curve in panel.curves]
    by_network: dict[Network, list[Estimate]] = {}
    for curve, point in zip(panel.curves, points, strict=True):
        if point is not None:
            by_network.setdefault(network_of(curve), []).append(point)
    cells = []
    for curve, point in zip(panel.curves, points, strict=True):
        if point is None:
            # Level 0 that was not measured is the clean network, but only as it comes:
            # a recalibration changes that too.
            clean = level == 0 and panel.alone and not is_remedied(curve.first)
            cells.append(Cell(text=panel.unit.value(curve.clean.score, places=2) if clean else "-"))
            continue
        rivals = by_network[network_of(curve)]
        place = point.facts.best([rival.score.mean for rival in rivals])
        best = None if place is None or len(rivals) < 2 else rivals[place]
        tied = best is not None and point is not best and not _is_better(best, point)
        text = panel.unit.text(point.score)
        cells.append(Cell(text=text, best=best is not None and point is best, tied=tied))
    return cells


def _is_better(one: Estimate, other: Estimate) -> bool:
    """By the paired interval: two intervals that overlap say little about their difference."""
    found = paired_difference(one, other)
    # An end that is nan, of one chip, tells nothing apart.
    return found.low > 0 if one.facts.sign > 0 else found.high < 0


def gains(panel: Panel) -> list[Cells]:
    """What recalibration and compensation change, each beside nothing and beside the other, by way
    and level or time."""
    every = [(before, after, look.label) for before, after, look in panel.pairs] + panel.steps
    return [
        gain
        | {
            "label": label,
            "origin": origin_of(after.first),
            "extra": f"{after.first.extra_images:,}",
        }
        for before, after, label in every
        for gain in _differences(before, after, panel)
    ]


def changes(panel: Panel) -> list[Cells]:
    """What each curve has lost or won since its first time, on the same chips; none of levels."""
    if not panel.swept.is_time:
        return []
    return [
        {
            "label": look.label,
            "level": panel.swept.short(point.level),
            "since": panel.swept.short(curve.points[0].level),
            "chips": chips_in_common(point, curve.points[0]),
            "before": panel.unit.text(curve.points[0].score),
            "after": panel.unit.text(point.score),
            "gain": panel.unit.text(paired_difference(point, curve.points[0])),
        }
        for curve, look in zip(panel.curves, panel.looks, strict=True)
        for point in curve.points[1:]
        if chips_in_common(point, curve.points[0])
    ]


def against(panel: Panel, names: Names) -> list[Cells]:
    """The other networks against the first, none recalibrated."""
    return [
        gain | {"label": names[network_of(other)]}
        for first, other in panel.rivals
        for gain in _differences(first, other, panel)
    ]


def _differences(before: Curve, after: Curve, panel: Panel) -> list[Cells]:
    plain = {point.level: point for point in before.points}
    return [
        {
            "level": value_name(panel, point.level),
            "chips": chips_in_common(point, plain[point.level]),
            "before": panel.unit.text(plain[point.level].score),
            "after": panel.unit.text(point.score),
            "gain": panel.unit.text(paired_difference(point, plain[point.level])),
        }
        for point in after.points
        if point.level in plain and chips_in_common(point, plain[point.level])
    ]


def value_name(panel: Panel, level: float | None) -> str:
    """A level or time under a head that says which of them it is."""
    return panel.swept.text(level, alone=panel.alone).removeprefix("level ")


def averages(panel: Panel) -> list[Cells]:
    """The average normalised score of each curve; none for scores of which no share is left."""
    if not panel.facts.has_share:
        return []
    return [
        {
            "label": look.label,
            "value": share_text(curve.average_normalised),
            "levels": ", ".join(map(panel.swept.short, curve.levels)),
            "chips": curve.shared_chips,
        }
        for curve, look in zip(panel.curves, panel.looks, strict=True)
    ]


def figures_of(curves: Sequence[Curve]) -> list[str]:
    """The names of the further figures that all rows have, as `mAP@.5`."""
    rows = [row for curve in curves for point in curve.points for row in point.rows]
    # Of all rows: a mean over chips needs the figure of each of them.
    return [name for name in rows[0].figures if all(name in row.figures for row in rows)]


def estimates(panel: Panel) -> Cells:
    """All estimates, a line for each point; crossed and chance-corrected where there are hits."""
    unit, facts, further = panel.unit, panel.facts, figures_of(panel.curves)
    heads = [f"{panel.metric}{unit.sign} (new chips)"]
    heads += [f"{unit.sign.strip()} (new chips and images)"] if panel.has_hits else []
    heads += [f"{name}{unit.sign}" for name in further] + ["sd", "worst", tail_text(facts)]
    heads += ["normalised %"] if facts.has_share else []
    heads += ["chance-corrected %"] if panel.has_chance else []
    lines = []
    for curve, look in zip(panel.curves, panel.looks, strict=True):
        for point in curve.points:
            lines.append(
                {
                    "label": look.label,
                    "start": point is curve.points[0],
                    "level": value_name(panel, point.level),
                    "chips": f"{point.chips:,}",
                    "images": f"{point.images:,}",
                    "values": _values(point, panel, further),
                    "nonfinite": point.nonfinite,
                }
            )
    return {"heads": heads, "lines": lines}


def _values(point: Estimate, panel: Panel, further: Sequence[str]) -> list[str]:
    unit = panel.unit
    found = [unit.text(point.score)]
    found += [unit.text(point.crossed)] if panel.has_hits else []
    found += [unit.text(point.figure(name)) for name in further]
    found.append(sd_text(point))
    found += [value_text(point.worst, unit), value_text(point.low_quantile, unit)]
    found += [share_text(point.normalised)] if panel.facts.has_share else []
    found += [share_text(point.chance_corrected)] if panel.has_chance else []
    return found


def sd_text(point: Estimate) -> str:
    """The standard deviation over chips; `-` where there is none."""
    return value_text(point.sd, point.unit)


def share_text(share: Interval) -> str:
    """In percent; `-` where there is no share, as of a clean network near chance."""
    return or_dash(share.mean, stats.percent(share))


def tail_text(facts: ScoreFacts) -> str:
    """What the column of the worst chips' quantile is called."""
    return f"{100 * facts.bad_share:.0f} % quantile"


def value_text(value: float, unit: Unit) -> str:
    """A value of the chips; `-` where they do not tell it."""
    return "-" if isnan(value) else unit.value(value)


def spreads(panel: Panel, above: float | None = None) -> list[Cells]:
    """How the chips of each point differ, the images' part removed, with intervals; none where
    chips are not told apart. `above`: also the share of chips that score at least so well."""
    return [
        {
            "label": look.label,
            "start": point is curve.points[0],
            "level": value_name(panel, point.level),
            "chips": f"{point.chips:,}",
            "images": f"{point.images:,}",
            "sd": panel.unit.text(point.spread.sd),
            "quantile": panel.unit.text(point.spread.quantile(point.facts.bad_share)),
            "above": "" if above is None else share_text(point.yields(above)),
        }
        for curve, look in zip(panel.curves, panel.looks, strict=True)
        for point in curve.points
        if point.spread is not None and len(point.rows) > 1
    ]


def stream_lines(panel: StreamPanel) -> list[Cells]:
    """The mean over the stream of each way, and its difference to off, chip by chip."""
    return [
        {
            "look": look,
            "chips": len(trace.chips),
            "overall": panel.unit.text(trace.overall),
            "gain": _gain(trace, panel.off, panel.unit),
            "first": panel.unit.text(trace.at(0)),
            "last": panel.unit.text(trace.at(len(trace.positions) - 1)),
            "origin": origin_of(trace.first),
            "sees_test": trace.first.calibration == "test",
            "extra": f"{trace.first.extra_images:,}",
        }
        for trace, look in zip(panel.traces, panel.looks, strict=True)
    ]


def _gain(trace: Trace, off: Trace | None, unit: Unit) -> str:
    # Other windows, as of a stream that was cut short, cannot be paired.
    if off is None or off is trace or off.positions != trace.positions:
        return "-"
    return unit.text(trace.difference(off)) if set(off.chips) & set(trace.chips) else "-"
