"""The same estimates as tables for a terminal, by rich."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table

from noiseproof import stats
from noiseproof.report import tables
from noiseproof.report.looks import is_remedied
from noiseproof.report.panels import all_have_hits, panels_of, stream_panels_of
from noiseproof.report.words import short_names
from noiseproof.results import (
    Curve,
    Role,
    Row,
    Trace,
    chips_in_common,
    key_of,
    network_key,
    paired_difference,
    reach_text,
    way_of,
    where_of,
)
from noiseproof.results.clean import clean_sentence, sees_nothing
from noiseproof.results.curves import Estimate, way_words
from noiseproof.results.estimates import has_share
from noiseproof.specs import Chips, ScoreFacts


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of the table of estimates; `needs`: the width of terminal from which it shows."""

    title: str
    text: Callable[[Estimate], str]
    needs: int = 0
    needs_hits: bool = False
    needs_share: bool = False
    needs_chance: bool = False


COLUMNS = (
    Column(title="{swept}", text=lambda p: p.swept.short(p.level)),
    Column(title="chips", text=lambda p: f"{p.chips:,}"),
    Column(title="{metric}{sign}", text=lambda p: p.unit.text(p.score)),
    Column(title="crossed %", text=lambda p: _ends(p.crossed), needs=100, needs_hits=True),
    Column(title="sd", text=lambda p: tables.sd_text(p)),
    Column(title="worst", text=lambda p: tables.value_text(p.worst, p.unit), needs=100),
    Column(
        title="normalised %",
        text=lambda p: tables.share_text(p.normalised),
        needs=157,
        needs_share=True,
    ),
    Column(
        title="chance-corr. %",
        text=lambda p: tables.share_text(p.chance_corrected),
        needs=125,
        needs_chance=True,
    ),
    Column(title="nonfinite", text=lambda p: str(p.nonfinite)),
)
WAY = "recal."
NEEDED_BY_FIGURES = 90
WIDTH_OF_GAINS = 24


def curves_table(curves: Sequence[Curve], *, width: int, title: str | None = None) -> Table:
    """A line for each clean network and each point of `curves`, which are of one score; less
    columns in less `width`."""
    first, facts, unit = curves[0].first, curves[0].clean.facts, curves[0].clean.unit
    same_noise = len({(curve.family, where_of(curve.first)) for curve in curves}) == 1
    heading = title or f"{first.model} on {first.data}, {curves[0].clean.images} test images"
    heading += "" if first.design == "chips" else f", design {first.design}"
    if same_noise:
        heading += f"\n{curves[0].family} on {where_of(first)}"
    has_hits = all_have_hits(curves)
    has_chance = has_hits or (facts.chance is not None and not first.hits)
    ways = max(len(way_of(curve.first)) for curve in curves)
    gains = _gains(curves)
    # What long names of ways and differences take is missing for columns of numbers.
    spare = width - max(0, ways - len(WAY)) - (WIDTH_OF_GAINS if gains else 0)
    figures = tables.figures_of(curves) if spare >= NEEDED_BY_FIGURES else ()
    if reach := reach_text(*(curve.first for curve in curves)):
        heading += f"\n{reach}"
    columns = [
        column
        for column in COLUMNS
        if spare >= column.needs
        and (has_hits or not column.needs_hits)
        and (facts.has_share or not column.needs_share)
        and (has_chance or not column.needs_chance)
    ]
    rows = [curve.first for curve in curves]
    swept = " or ".join(dict.fromkeys(curve.swept.name for curve in curves))
    both = all(point.is_for_new_images for curve in curves for point in curve.points)
    caption = _caption(rows, has_hits=has_hits, new_images=both)
    said = "minus off: paired on the same chips." if gains else ""
    table = _table(heading, " ".join(filter(None, (caption, said, _direction(facts)))))
    table.add_column("norm", no_wrap=True)
    # Wrapped rather than cut: a way that is half readable is another one.
    table.add_column(WAY, min_width=min(ways, width // 4))
    for name in () if same_noise else ("noise", "targets"):
        table.add_column(name)
    for column in columns:
        head = column.title.format(metric=facts.metric, sign=unit.sign, swept=swept)
        table.add_column(head, justify="right", no_wrap=True)
    if gains:
        table.add_column(f"minus off{unit.points}", justify="right", no_wrap=True)
    for name in figures:
        table.add_column(f"{name}{unit.sign}", justify="right", no_wrap=True)
    told: set[tuple[str, ...]] = set()
    for curve in curves:
        lead = [curve.first.norm, way_of(curve.first)]
        lead += [] if same_noise else [curve.family, where_of(curve.first)]
        if network_key(curve.clean) not in told:
            told.add(network_key(curve.clean))
            _add_clean(table, curve.clean, lead, figures)
        for point in curve.points:
            cells = [column.text(point) for column in columns]
            cells += [gains.get(id(point), "-")] if gains else []
            cells += [unit.text(point.figure(name)) for name in figures]
            table.add_row(*lead, *cells, end_section=point is curve.points[-1])
            # The first line of a curve says what it is, the others only their level.
            lead = [""] * len(lead)
    return table


def _gains(curves: Sequence[Curve]) -> dict[int, str]:
    """What each recalibrated or compensated point, by its id, has above the one without, paired
    over the chips of both; none where nothing is done beside off."""
    plain = {
        (_condition(curve), point.level): point
        for curve in curves
        if not is_remedied(curve.first)
        for point in curve.points
    }
    found = {}
    for curve in curves:
        for point in curve.points:
            off = plain.get((_condition(curve), point.level))
            if off is not None and is_remedied(curve.first) and chips_in_common(point, off):
                found[id(point)] = point.unit.text(paired_difference(point, off))
    return found


def _condition(curve: Curve) -> tuple[object, ...]:
    """What curves share that differ in their recalibration alone."""
    same = key_of(curve.first, Role.CONDITION, without=("noise",))
    return network_key(curve.clean), curve.family, same


def _add_clean(table: Table, clean: Row, lead: Sequence[str], figures: Sequence[str]) -> None:
    """The line of the clean network, its score under those of the chips."""
    value = clean.unit.value(clean.score, places=2) + (" !" if sees_nothing(clean) else "")
    cells = [clean.norm, "", *[""] * (len(lead) - 2), "clean", "-", value]
    empty = len(table.columns) - len(cells) - len(figures)
    shown = [
        clean.unit.value(clean.figures[name], places=2) if name in clean.figures else "-"
        for name in figures
    ]
    table.add_row(*cells, *[""] * empty, *shown)


def _direction(facts: ScoreFacts) -> str:
    """What the caption says of the score, where it is not the usual one."""
    if facts.sign:
        return f"{facts.metric}: {facts.hint}." if facts.hint else ""
    return (
        "Nobody said which way this score is better, so none is called worst: name a "
        "noiseproof.Score(function, better=...)."
    )


def clean_lines(curves: Sequence[Curve]) -> Iterator[str]:
    """A sentence on what each clean network scores."""
    found = {network_key(curve.clean): curve.clean for curve in curves}
    names = short_names(found.values())
    for network, row in found.items():
        name = f"{names[network]}: " if len(found) > 1 else ""
        yield name + clean_sentence(row)


def spread_lines(curves: Sequence[Curve], above: float | None) -> Iterator[str]:
    """A sentence on how the chips of each point differ, where a yield is asked for or each chip saw
    a sample of the images."""
    for panel in panels_of(curves, short_names(curve.clean for curve in curves)):
        # Where all chips saw all images the table has the sd already.
        if above is None and isinstance(panel.design, Chips):
            continue
        unit, points = panel.unit, panel.unit.points.removeprefix(",")
        side = "below" if panel.facts.sign < 0 else "above"
        for line in tables.spreads(panel, above):
            text = f"{line['label']}, {line['level']}: sd over chips {line['sd']}{points}; "
            text += f"{tables.tail_text(panel.facts)} {line['quantile']}{unit.sign}"
            if above is not None:
                share = f"{unit.value(above)}{unit.sign}"
                text += f"; yield (chips at or {side} {share}) {line['above']} %"
            yield text


def average_lines(curves: Sequence[Curve]) -> Iterator[str]:
    """A sentence on the average of each curve with several levels; none for scores of which no
    share is left."""
    for curve in curves:
        clean = curve.clean
        if len(curve.points) > 1 and has_share(clean):
            levels = ", ".join(map(curve.swept.short, curve.levels))
            yield (
                f"{curve.first.norm}, {way_words(curve.first)}: "
                f"average normalised {clean.metric} "
                f"{stats.percent(curve.average_normalised)} % over {curve.swept.name}s {levels}"
            )


def trace_tables(traces: Sequence[Trace]) -> Iterator[Table]:
    """A table for each stream, a line for each way to recalibrate."""
    names = short_names(trace.first for trace in traces)
    for panel in stream_panels_of(traces, names):
        first, unit = panel.first, panel.unit
        heading = f"{first.model} {first.norm} on {first.data}: {first.stream}\n"
        heading += f"{first.noise} on {where_of(first)}, windows of {first.images} images"
        if panel.clean is not None:
            heading += f"\n{clean_sentence(panel.clean)}"
        if reach := reach_text(first):
            heading += f"\n{reach}"
        rows = [trace.first for trace in panel.traces]
        table = _table(heading, _caption(rows, has_hits=False))
        table.add_column("recal.")
        heads = [f"{panel.traces[0].metric}{unit.sign}", f"minus off{unit.points}"]
        heads += [f"first window{unit.sign}", f"last window{unit.sign}"]
        for head in ("chips", *heads):
            table.add_column(head, justify="right", no_wrap=True)
        for line in tables.stream_lines(panel):
            numbers = (line[name] for name in ("overall", "gain", "first", "last"))
            table.add_row(line["look"].label, str(line["chips"]), *numbers)
        yield table


def _table(title: str, caption: str) -> Table:
    table = Table(title=title, caption=caption, box=box.SIMPLE_HEAD)
    table.title_justify = table.caption_justify = "left"
    return table


def _caption(rows: Sequence[Row], *, has_hits: bool, new_images: bool = False) -> str:
    """What the columns mean, as far as they are there."""
    text = "[..]: 95 % interval over chips (t; this test set). "
    if rows[0].design.startswith("per-image"):
        whom = "new chips and images" if new_images else "new chips; this test set"
        text = f"[..]: 95 % interval over blocks of images, each on its own chip ({whom}). "
    elif has_hits and rows[0].design == "chips":
        text += "crossed: new chips and new images. sd, worst: over chips. chance-corr.: Fieller, "
        text += "new chips and images, clean accuracy included. "
    if any(row.calibration == "test" for row in rows):
        text += "[test images]: the recalibration sees them, without labels."
    return text.rstrip()


def _ends(interval: stats.Interval) -> str:
    text = stats.percent(interval)
    # The mean is that of the column beside it.
    return text[text.index("[") :]
