"""What the figures for papers share: how they look, and how they are written."""

import importlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noiseproof import stats
from noiseproof.core.checks import one_of
from noiseproof.core.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

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
DASHES: Mapping[str, Any] = {  # by plotly's words for them
    "solid": "-",
    "dash": "--",
    "dot": (0, (1, 1.2)),
    "dashdot": "-.",
    "longdash": (0, (8, 3)),
}
MARKERS: Mapping[str, str] = {  # by plotly's words for them
    "circle": "o",
    "square": "s",
    "diamond": "D",
    "triangle-up": "^",
    "x": "X",
}
INTERVAL = f"{100 * stats.CONFIDENCE:.0f} % interval over chips"


def checked_path(path: str | Path) -> Path:
    """`path`, if a figure can be written under that ending; raises ValueError otherwise."""
    target = Path(path)
    one_of("ending of a figure", target.suffix, ENDINGS)
    return target


def parse_size(text: str) -> tuple[float, float]:
    """(width, height) in inches of `7x4in` or `17.5x10cm`.

    Raises:
        ValueError: for another form, and sizes below 1 or above 100 inches.
    """
    found = re.fullmatch(r"(\d{1,4}(?:\.\d{1,4})?)x(\d{1,4}(?:\.\d{1,4})?)(in|cm)", text)
    if found is None:
        raise ValueError(
            f"size must be WIDTHxHEIGHT and in or cm, as 7x4in or 17.5x10cm, got {text!r}"
        )
    inches = 1 if found[3] == "in" else 1 / 2.54
    wide, high = float(found[1]) * inches, float(found[2]) * inches
    if not (1 <= wide <= 100 and 1 <= high <= 100):
        raise ValueError(f"size must be between 1 and 100 inches each way, got {text!r}")
    return wide, high


def legend_line(**style: Any) -> "Line2D":
    """A piece of a line, for the legend."""
    found: Line2D = importlib.import_module("matplotlib.lines").Line2D([], [], **style)
    return found


@contextmanager
def figure_for(path: str | Path, *, wide: float, high: float) -> Iterator["Figure"]:
    """An empty figure, in inches, to draw in; it is written to PATH.pdf, .svg or .png when the
    block ends well, whole or not at all.

    Raises:
        ValueError: for another ending, or where the file cannot be written.
    """
    target = checked_path(path)
    # Not pyplot: no window, no figure that outlives the block. Loaded here: it is slow to load.
    figures = importlib.import_module("matplotlib.figure")
    agg = importlib.import_module("matplotlib.backends.backend_agg")
    with importlib.import_module("matplotlib").rc_context(STYLE):
        figure = figures.Figure(figsize=(wide, high), layout="constrained")
        agg.FigureCanvasAgg(figure)
        yield figure
        with replacing(target) as temporary:
            figure.savefig(temporary, format=target.suffix[1:], dpi=300)
