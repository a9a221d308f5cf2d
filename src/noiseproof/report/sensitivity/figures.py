"""Which layers lose the score, drawn: on the page by plotly, for a paper by matplotlib."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from noiseproof import stats
from noiseproof.report.figures import LAYOUT
from noiseproof.report.looks import COLOURS
from noiseproof.report.plotting import DASHES, figure_for
from noiseproof.report.sensitivity.tables import MOST
from noiseproof.results import Group, Ranking, Step, where_of
from noiseproof.results.showing import share_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SURE, UNSURE = COLOURS[0], "#A9C7DD"  # does the interval exclude a drop of zero?
LINES = (("weights", COLOURS[0], "solid"), ("multiply-accumulates", COLOURS[1], "dash"))


@dataclass(frozen=True, kw_only=True)
class Line:
    """The score against the share, in percent, of something that is kept digital."""

    name: str
    colour: str
    dash: str  # a word of plotly's
    x: list[float]
    y: list[float]
    low: list[float]
    high: list[float]


def digital_lines(ranking: Ranking) -> list[Line]:
    """Against the share of weights and of multiply-accumulates; ends that do not exist (one unit)
    are at the mean. None where no group was kept digital; without the second where the noise is on
    no kernels."""
    steps, factor = ranking.steps, ranking.unit.factor
    y = [factor * step.accuracy.mean for step in steps]
    low, high = (
        [m if isnan(end) else end for m, end in zip(y, ends, strict=True)]
        for ends in (
            [factor * step.accuracy.low for step in steps],
            [factor * step.accuracy.high for step in steps],
        )
    )
    found = []
    for (name, colour, dash), share in zip(
        LINES, (ranking.weight_share, ranking.mac_share), strict=True
    ):
        x = [100 * share(step) for step in steps]
        # No products at all, as with noise on biases: every share would be 0 / 0.
        if x and not isnan(x[-1]):
            found.append(Line(name=name, colour=colour, dash=dash, x=x, y=y, low=low, high=high))
    return found


def shown_groups(ranking: Ranking) -> tuple[Group, ...]:
    """Those that fit in a figure, the most sensitive first."""
    return ranking.groups[:MOST]


# --- on the page ---------------------------------------------------------------------------------


def drop_figure(ranking: Ranking) -> go.Figure:
    """A bar for each group with the interval of its drop, the most sensitive on top."""
    groups = shown_groups(ranking)
    figure = go.Figure()
    figure.add_bar(
        y=[html.escape(group.name, quote=False) for group in groups],
        x=[ranking.unit.factor * group.drop.mean for group in groups],
        error_x={
            "array": _half_widths(ranking, groups),
            "thickness": 1.2,
            "width": 3,
            "color": "#333",
        },
        orientation="h",
        marker={"color": [_colour(group) for group in groups]},
        text=[_group_hover(ranking, rank, group) for rank, group in enumerate(groups, start=1)],
        textposition="none",
        hovertemplate="%{text}<extra></extra>",
    )
    figure.update_layout(**LAYOUT | {"showlegend": False, "bargap": 0.3})
    figure.update_layout(height=max(220, 90 + 22 * len(groups)))
    figure.update_xaxes(
        title=html.escape(_drop_label(ranking), quote=False), zeroline=True, zerolinecolor="#444"
    )
    # Bars are drawn from below: reversed, the first of the ranking is on top. A category even
    # where names of layers are numbers.
    figure.update_yaxes(autorange="reversed", automargin=True, ticks="", type="category")
    return figure


def digital_figure(ranking: Ranking) -> go.Figure | None:
    """The score against what is kept digital; None where that was not measured."""
    lines = digital_lines(ranking)
    if not lines:
        return None
    figure = go.Figure()
    texts = [_step_hover(ranking, step) for step in ranking.steps]
    for line in lines:
        figure.add_scatter(
            x=line.x + line.x[::-1],
            y=line.high + line.low[::-1],
            mode="lines",
            fill="toself",
            fillcolor=f"rgba{(*_rgb(line.colour), 0.15)}",
            line={"width": 0},
            hoverinfo="skip",
            showlegend=False,
            legendgroup=line.name,
        )
        figure.add_scatter(
            x=line.x,
            y=line.y,
            # At one line only: both have the same steps.
            mode="lines+markers+text" if line is lines[-1] else "lines+markers",
            name=f"share of {line.name}",
            legendgroup=line.name,
            line={"color": line.colour, "dash": line.dash, "width": 2},
            marker={"size": 7},
            # How many are kept, but for none and all, which the ends of the line say.
            text=["", *(str(len(step.kept)) for step in ranking.steps[1:-1]), ""],
            textposition="bottom right",
            textfont={"color": line.colour, "size": 12},
            hovertext=texts,
            hovertemplate="%{hovertext}<extra></extra>",
        )
    clean = ranking.unit.factor * ranking.clean_accuracy.mean
    figure.add_hline(y=clean, line={"color": "#888", "dash": "dot", "width": 1})
    figure.add_annotation(
        x=0, xref="paper", y=clean, text="clean", showarrow=False, xanchor="left", yshift=9
    )
    figure.update_layout(**LAYOUT, height=460, showlegend=True)
    figure.update_xaxes(title="kept digital (%)", range=[-2, 102])
    figure.update_yaxes(title=html.escape(_score_label(ranking, " on noisy chips"), quote=False))
    return figure


def _group_hover(ranking: Ranking, rank: int, group: Group) -> str:
    lines = [
        f"{rank}. {group.name}",
        f"drop {ranking.text(group.drop)}{ranking.unit.points.replace(',', '')}",
        f"{group.weights:,} weights ({share_text(ranking.weight_share(group))} %)",
        f"{group.macs:,} multiply-accumulates ({share_text(ranking.mac_share(group))} %)",
    ]
    return "<br>".join(html.escape(line) for line in lines)


def _step_hover(ranking: Ranking, step: Step) -> str:
    lines = [
        f"{len(step.kept)} of {len(ranking.groups)} {ranking.by}s digital",
        f"{ranking.metric} {ranking.text(step.accuracy)}{ranking.unit.sign}",
        f"{share_text(ranking.weight_share(step))} % of the weights",
        f"{share_text(ranking.mac_share(step))} % of the multiply-accumulates",
    ]
    return "<br>".join(html.escape(line) for line in lines)


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))


# --- for a paper ---------------------------------------------------------------------------------


def write_ranking_figure(ranking: Ranking, path: str | Path) -> str:
    """Write the drops on the left; on the right, where it was measured, the score against what is
    kept digital; return a caption. 7 inches wide, .pdf, .svg or .png.

    Raises:
        ValueError: for another ending, or where the file cannot be written.
    """
    groups, lines = shown_groups(ranking), digital_lines(ranking)
    height = max(2.4, 0.7 + 0.135 * len(groups))
    with figure_for(path, wide=7.0 if lines else 3.6, high=height) as figure:
        axes = figure.subplots(1, 2 if lines else 1, squeeze=False)[0]
        _draw_drops(axes[0], ranking, groups)
        if lines:
            _draw_digital(axes[1], ranking, lines)
    row, images = ranking.first, ranking.clean.images
    return (
        f"{row.model} {row.norm}, {row.noise} on {where_of(row)}; {images:,} images; "
        f"{100 * stats.CONFIDENCE:.0f} % intervals for {ranking.whom}, over {ranking.over}."
    )


def _draw_drops(axis: "Axes", ranking: Ranking, groups: Sequence[Group]) -> None:
    places = list(range(len(groups)))
    axis.barh(
        places,
        [ranking.unit.factor * group.drop.mean for group in groups],
        xerr=_half_widths(ranking, groups),
        color=[_colour(group) for group in groups],
        height=0.7,
        error_kw={"elinewidth": 0.7, "capsize": 1.5, "ecolor": "0.2"},
    )
    axis.axvline(0, color="0.2", lw=0.6)
    axis.set_yticks(places, [group.name for group in groups], fontsize=6)
    # From the last to the first: the most sensitive on top.
    axis.set_ylim(len(groups) - 0.4, -0.6)
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
    axis.set_xlabel(_drop_label(ranking))


def _draw_digital(axis: "Axes", ranking: Ranking, lines: Sequence[Line]) -> None:
    small: dict[str, Any] = {"textcoords": "offset points", "fontsize": 5.5}
    for line in lines:
        axis.fill_between(line.x, line.low, line.high, color=line.colour, alpha=0.15, lw=0)
        style = {"linestyle": DASHES[line.dash], "color": line.colour, "lw": 1.2}
        axis.plot(line.x, line.y, marker="o", ms=2.6, label=f"share of {line.name}", **style)
    clean, last = ranking.unit.factor * ranking.clean_accuracy.mean, lines[-1]
    axis.axhline(clean, color="0.5", lw=0.6, ls=":")
    axis.annotate("clean", (0, clean), xytext=(0, 2), color="0.35", **small)
    for step, x, y in zip(ranking.steps[1:-1], last.x[1:-1], last.y[1:-1], strict=True):
        count = str(len(step.kept))
        axis.annotate(count, (x, y), xytext=(4, -6), color=last.colour, **small)
    axis.set(
        xlabel=f"kept digital (%; numbers: {ranking.by}s)",
        ylabel=_score_label(ranking),
        xlim=(-2, 102),
    )
    axis.legend(fontsize=6, handlelength=2.4, loc="lower right")


def _half_widths(ranking: Ranking, groups: Sequence[Group]) -> list[float]:
    """0 where one unit gives no interval."""
    half = ranking.unit.factor / 2
    halves = (half * (group.drop.high - group.drop.low) for group in groups)
    return [0.0 if isnan(half) else half for half in halves]


def _colour(group: Group) -> str:
    return SURE if group.drop.low > 0 else UNSURE


def _drop_label(ranking: Ranking) -> str:
    more = len(ranking.groups) - MOST
    return ranking.drop_axis + (f"; {more} lower ones not shown" if more > 0 else "")


def _score_label(ranking: Ranking, where: str = "") -> str:
    sign = ranking.unit.sign.strip()
    return f"{ranking.metric}{where}" + (f" ({sign})" if sign else "")
