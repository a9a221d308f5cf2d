"""The picture of a fit: what was read of a device, and what its law says of that."""

import math
from pathlib import Path

from noiseproof.hardware.fitting import Fit
from noiseproof.report.plotting import figure_for
from noiseproof.specs.times import time_text


def draw_fit(fit: Fit, path: str | Path) -> None:
    """Mean and standard deviation of readings over their targets, a colour for each time: dots with
    two standard errors, and lines of the law. Ending .pdf, .png or .svg.

    Raises:
        ValueError: for another ending, and a file that cannot be written.
    """
    unit = fit.device.unit
    with figure_for(path, wide=7.0, high=3.2) as figure:
        panels = figure.subplots(1, 2)
        for column, time in enumerate(fit.measured.times):
            colour = f"C{column % 10}"
            label = "programmed" if math.isnan(time) else time_text(time)
            for panel, kind in zip(panels, ("mean", "variance"), strict=True):
                dots = _dots(fit, column, kind)
                if dots:
                    x, y, error, line = zip(*dots, strict=True)
                    panel.errorbar(x, y, error, fmt="o", ms=3, color=colour, label=label)
                    panel.plot(x, line, "-", lw=1, color=colour)
        panels[0].set_ylabel(f"mean of readings ({unit})")
        panels[1].set_ylabel(f"standard deviation ({unit})")
        for panel in panels:
            panel.set_xlabel(f"target ({unit})")
        panels[0].legend(title=f"{fit.device.name}: dots read, lines the law")


def _dots(fit: Fit, column: int, kind: str) -> list[tuple[float, float, float, float]]:
    """Target, value, two standard errors and the law's value; of variances the roots."""
    found = []
    for one, told in zip(fit.measured.bins, fit.told, strict=True):
        for moment, value in zip(one.moments, told, strict=True):
            if moment.kind != kind or moment.first != column:
                continue
            y, error, line = moment.value, moment.error, value
            if kind == "variance":
                root = math.sqrt(max(y, 0.0))
                error = error / (2 * root) if root else 0.0
                y, line = root, math.sqrt(max(line, 0.0))
            found.append((one.target, y, 2 * error, line))
    return found
