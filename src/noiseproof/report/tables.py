"""The page's tables, as rows of texts."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

from noiseproof import stats
from noiseproof.report.panels import Names, Panel, StreamPanel, network_of
from noiseproof.report.words import Network, count_text, level_text, origin_of
from noiseproof.results import Curve, Row, Trace, chips_in_common, paired_difference
from noiseproof.results.curves import Estimate
from noiseproof.specs import metric_of
from noiseproof.stats import Unit, unit_of

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
        metric = unit_of(metric_of(row.task))
        known = row.noise == "none"
        value = f"{metric_of(row.task)} {metric.value(row.score, places=2)}{metric.sign}"
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
        "heads": [level_text(level, alone=panel.alone) for level in panel.levels],
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
    """One level's cells. The best is the highest mean of a network that has several there."""
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
            clean = level == 0 and panel.alone and curve.first.recalibrate == "off"
            cells.append(Cell(text=panel.unit.value(curve.clean.score, places=2) if clean else "-"))
            continue
        rivals = by_network[network_of(curve)]
        best = max(rivals, key=lambda rival: rival.score.mean)
        several = len(rivals) > 1
        # Paired on the same chips: two intervals that overlap say little about their difference.
        # Negated, so that nan, one chip, is not told apart.
        tied = several and point is not best and not paired_difference(best, point).low > 0
        text = panel.unit.text(point.score)
        cells.append(Cell(text=text, best=several and point is best, tied=tied))
    return cells


def gains(panel: Panel) -> list[Cells]:
    """What recalibration changes, by way and level."""
    return [
        gain
        | {
            "label": look.label,
            "look": look,
            "origin": origin_of(after.first),
            "sees_test": after.first.calibration == "test",
            "extra": f"{after.first.extra_images:,}",
        }
        for before, after, look in panel.pairs
        for gain in _differences(before, after, panel)
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
            "level": level_text(point.level, alone=panel.alone).removeprefix("level "),
            "chips": chips_in_common(point, plain[point.level]),
            "before": panel.unit.text(plain[point.level].score),
            "after": panel.unit.text(point.score),
            "gain": panel.unit.text(paired_difference(point, plain[point.level])),
        }
        for point in after.points
        if point.level in plain and chips_in_common(point, plain[point.level])
    ]


def averages(panel: Panel) -> list[Cells]:
    """The average normalised score of each curve; none for a score of the user's own, which may
    well have no zero."""
    if panel.metric == "score":
        return []
    return [
        {
            "label": look.label,
            "value": stats.percent(curve.average_normalised),
            "levels": ", ".join("-" if v is None else f"{v:g}" for v in curve.levels),
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
    unit, further = panel.unit, figures_of(panel.curves)
    heads = [f"{panel.metric}{unit.sign} (new chips)"]
    heads += [f"{unit.sign.strip()} (new chips and images)"] if panel.has_hits else []
    heads += [f"{name}{unit.sign}" for name in further] + ["sd", "worst", "5 % quantile"]
    heads += ["normalised %"] if panel.metric != "score" else []
    heads += ["chance-corrected %"] if panel.has_hits else []
    lines = []
    for curve, look in zip(panel.curves, panel.looks, strict=True):
        for point in curve.points:
            lines.append(
                {
                    "label": look.label,
                    "start": point is curve.points[0],
                    "level": level_text(point.level, alone=panel.alone).removeprefix("level "),
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
    found += [stats.percent(point.normalised)] if panel.metric != "score" else []
    found += [stats.percent(point.chance_corrected)] if panel.has_hits else []
    return found


def sd_text(point: Estimate) -> str:
    """The standard deviation over chips; `-` where there is none."""
    return value_text(point.sd, unit_of(point.metric))


def value_text(value: float, unit: Unit) -> str:
    """A value of the chips; `-` where they do not tell it."""
    return "-" if isnan(value) else unit.value(value)


def spreads(panel: Panel, above: float | None = None) -> list[Cells]:
    """How the chips of each point differ, the images' part removed, with intervals; none where
    chips are not told apart. `above`: also the share of chips that score at least that."""
    return [
        {
            "label": look.label,
            "start": point is curve.points[0],
            "level": level_text(point.level, alone=panel.alone).removeprefix("level "),
            "chips": f"{point.chips:,}",
            "images": f"{point.images:,}",
            "sd": panel.unit.text(point.spread.sd),
            "quantile": panel.unit.text(point.spread.quantile(0.05)),
            "above": "" if above is None else stats.percent(point.spread.above(above)),
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
