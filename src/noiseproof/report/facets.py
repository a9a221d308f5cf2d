"""What the figures for papers show: pairs of axes, in bands that share a legend."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from noiseproof import stats
from noiseproof.report.looks import Look
from noiseproof.report.panels import Panel, StreamPanel
from noiseproof.report.plotting import INTERVAL
from noiseproof.report.series import Series, score_series, stream_series
from noiseproof.report.splitting import Split
from noiseproof.report.words import count_text
from noiseproof.results import Swept, score_axis, where_of
from noiseproof.specs import PerImage


@dataclass(frozen=True, kw_only=True)
class Facet:
    """What one pair of axes shows; `behind`: pale lines, to compare with. `swept` and `times`: what
    an axis of times has to name; `clean` are points at level 0 of other axes, and lines along
    that."""

    title: str
    series: tuple[Series, ...]
    x_label: str
    y_label: str
    from_zero: bool
    behind: tuple[Series, ...] = ()
    chance: float | None = None
    clean: tuple[tuple[float, Look], ...] = ()
    changes: tuple[int, ...] = ()
    swept: Swept | None = None
    times: tuple[float | None, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Band:
    """Facets whose lines one legend names."""

    facets: tuple[Facet, ...]

    @property
    def legend(self) -> list[Look]:
        """The looks that need a name: those of all facets, once each; none where all lines are
        alike, since titles say what differs."""
        looks = {s.look.label: s.look for facet in self.facets for s in facet.series}
        return list(looks.values()) if len(looks) > 1 else []

    def takes(self, other: "Band") -> bool:
        """Do the other's lines fit in this legend, and on this axis?"""
        ours = {s.look.label: s.look for facet in self.facets for s in facet.series}
        theirs = [s.look for facet in other.facets for s in facet.series]
        same = all(ours.get(look.label, look) == look for look in theirs)
        axes = {(facet.y_label, facet.from_zero) for facet in (*self.facets, *other.facets)}
        whole = all(facet.title for facet in (*self.facets, *other.facets))
        return same and whole and len(axes) == 1 and {*ours} == {look.label for look in theirs}


def bands_of(panels: Sequence[Panel], streams: Sequence[StreamPanel]) -> list[Band]:
    """A band for each panel and stream; those whose lines have the same names share one."""
    several = len(panels) + len(streams) > 1
    every = [
        *([_of_panel(panel, split, several) for split in panel.splits] for panel in panels),
        *([_of_stream(panel, split, several) for split in panel.splits] for panel in streams),
    ]
    found: list[Band] = []
    for facets in every:
        band = Band(facets=tuple(facets))
        if found and found[-1].takes(band):
            found[-1] = Band(facets=found[-1].facets + band.facets)
        else:
            found.append(band)
    return found


def _of_panel(panel: Panel, split: Split, several: bool) -> Facet:
    factor, series = panel.unit.factor, score_series(panel)
    looks = dict(zip(split.places, split.looks, strict=True))
    names = (panel.condition, panel.network, split.title) if several else (split.title,)
    return Facet(
        title="\n".join(name for name in names if name),
        series=shown_series(series, split),
        behind=tuple(series[place] for place in split.behind),
        x_label=panel.swept.axis,
        swept=panel.swept if panel.swept.is_time else None,
        times=tuple(panel.levels) if panel.swept.is_time else (),
        y_label=score_axis(panel.clean),
        from_zero=panel.unit is stats.PERCENT,
        # Scores without hits, as mAP, have no level of chance, unless somebody says so.
        chance=None if panel.facts.chance is None else panel.unit.factor * panel.facts.chance,
        clean=tuple(
            (factor * row.score, looks[place])
            for row, place in panel.clean_points
            if place in looks
        ),
    )


def _of_stream(panel: StreamPanel, split: Split, several: bool) -> Facet:
    series = stream_series(panel)
    names = (panel.network, panel.first.stream, split.title) if several else (split.title,)
    return Facet(
        title="\n".join(name for name in names if name),
        series=shown_series(series, split),
        behind=tuple(series[place] for place in split.behind),
        x_label="images seen",
        y_label=score_axis(panel.first),
        from_zero=panel.unit is stats.PERCENT,
        changes=tuple(panel.changes),
    )


def shown_series(series: Sequence[Series], split: Split) -> tuple[Series, ...]:
    """The lines of a split, in its looks."""
    return tuple(
        replace(series[place], look=look)
        for place, look in zip(split.places, split.looks, strict=True)
    )


# --- in words -------------------------------------------------------------------------------------


def caption_of(panels: Sequence[Panel], streams: Sequence[StreamPanel]) -> str:
    """What the picture does not say of itself, a sentence for each panel: for the text below it."""
    told: dict[str, list[str]] = {}
    words = [_panel_words(panel) for panel in panels] + [_stream_words(panel) for panel in streams]
    for name, text in words:
        told.setdefault(text, []).append(name)
    # Named where they differ: of twelve networks alike, one sentence.
    lines = (
        list(told) if len(told) == 1 else [f"{', '.join(n)}: {text}" for text, n in told.items()]
    )
    return " ".join([*lines, f"Bands: {INTERVAL}."])


def _panel_words(panel: Panel) -> tuple[str, str]:
    points = [point for curve in panel.curves for point in curve.points]
    chips, images = count_text(p.chips for p in points), count_text(p.images for p in points)
    seen = f"{chips} chips, {images} images"
    if isinstance(panel.design, PerImage):
        seen = f"{chips} images, each on its own chip"
    name = ", ".join(word for word in (panel.network, panel.condition) if word)
    return name or panel.metric, f"{panel.family} on {panel.where}; {seen}."


def _stream_words(panel: StreamPanel) -> tuple[str, str]:
    chips = count_text(len(trace.chips) for trace in panel.traces)
    noise = f"{panel.first.noise} on {where_of(panel.first)}, {panel.first.stream}"
    return panel.network, f"{noise}; {chips} chips, windows of {panel.first.images:,} images."
