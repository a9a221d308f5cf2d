"""The figure for a paper, by matplotlib: .pdf, .svg or .png."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from noiseproof import stats
from noiseproof.curves import Curve
from noiseproof.records import replacing
from noiseproof.report.words import (
    clean_points,
    colours,
    curve_label,
    level_axis,
    network_of,
    panels,
    short_names,
)
from noiseproof.spec import one_of

ENDINGS = (".pdf", ".png", ".svg")
STYLE: Any = {  # a dict, in a type of matplotlib's own that names every key
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "pdf.fonttype": 42,  # text stays text
    "svg.fonttype": "none",
    "text.parse_math": False,  # names are printed as they are
}


def write_figure(curves: Sequence[Curve], path: str | Path) -> None:
    """Accuracy against level, a panel for each kind of noise and targets, in the width of a text
    column (3.4 inches a panel).

    Raises:
        ValueError: for another ending, or where the file cannot be written.
    """
    target = Path(path)
    one_of("ending of a figure", target.suffix, ENDINGS)
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    groups = panels(curves)
    names, hues = short_names(curves), colours(curves)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(3.4 * len(groups), 2.6), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(1, len(groups), squeeze=False)[0]
        for axis, ((family, targets), group) in zip(axes, groups.items(), strict=True):
            for curve in group:
                points = [point for point in curve.points if point.level is not None]
                x = [point.level for point in points]
                hue = hues[network_of(curve)]
                style = "--" if curve.first.recalibrate else "-"
                mean = [100 * point.accuracy.mean for point in points]
                axis.plot(x, mean, style, color=hue, lw=1.2)
                low = [100 * point.accuracy.low for point in points]
                high = [100 * point.accuracy.high for point in points]
                axis.fill_between(x, low, high, color=hue, alpha=0.2, lw=0)
            for curve in clean_points(group):
                hue = hues[network_of(curve)]
                axis.plot([0], [100 * curve.clean.score], "D", color=hue, ms=3.5, mfc="none")
            axis.axhline(100 / group[0].clean.classes, color="0.5", lw=0.6, ls=":")
            axis.set(xlabel=level_axis(family), ylabel="accuracy (%)")
            axis.set_ylim(bottom=0)
            axis.set_title(_caption(group, targets), fontsize=6.5, color="0.35")
            labels = [curve_label(curve, names) for curve in group]
            axis.legend(axis.lines[: len(group)], labels, fontsize=6.5, handlelength=2.2)
        with replacing(target) as temporary:
            figure.savefig(temporary, format=target.suffix[1:], dpi=300)


def _caption(curves: Sequence[Curve], targets: str) -> str:
    points = [point for curve in curves for point in curve.points]
    chips, images = _range(p.chips for p in points), _range(p.images for p in points)
    noise = curves[0].family.split("(")[0]
    return (
        f"{noise} on {targets}; {chips} chips, {images} images\n"
        f"{100 * stats.CONFIDENCE:.0f} % interval over chips"
    )


def _range(counts: Iterable[int]) -> str:
    found = sorted(set(counts))
    return f"{found[0]}" if len(found) == 1 else f"{found[0]} to {found[-1]}"
