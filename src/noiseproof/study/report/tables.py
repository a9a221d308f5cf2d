"""The report's tables as plain texts, which the page and the Markdown escape and lay out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from noiseproof.study.keys import Value
from noiseproof.study.measured import LEARNED
from noiseproof.study.report.compared import Compared
from noiseproof.study.report.content import StudyReport
from noiseproof.study.report.hulls import HULL_SAYS, Hulled, HullSet, trainings_text
from noiseproof.study.report.panels import Panel
from noiseproof.study.report.progress import FAILED, NetworkLine
from noiseproof.study.report.published import Beside, Match, Matched
from noiseproof.study.report.words import (
    SAYS,
    Names,
    counts,
    factor_name,
    plain,
    share,
    with_n,
    without,
)

FEW = 8  # rows; a longer table is folded


@dataclass(frozen=True, kw_only=True)
class Table:
    """Texts in rows under heads; the columns in `left` hold words, the others figures. `starts`:
    rows that begin a group."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: frozenset[int] = frozenset({0})
    starts: frozenset[int] = frozenset()


def beside_table(report: StudyReport) -> Table:
    """The source's figures beside the measured ones."""
    rows: list[tuple[str, ...]] = []
    starts = []
    for one in report.beside:
        starts.append(len(rows))
        rows += _beside_rows(one, report.names)
    return Table(
        heads=("what", "published %", "measured %, 95 % interval", "where"),
        rows=tuple(rows),
        left=frozenset({0, 3}),
        starts=frozenset(starts),
    )


def _beside_rows(one: Beside, names: Names) -> list[tuple[str, ...]]:
    what, percent = one.published.what, plain(one.published.percent)
    if one.shared:
        what += f" (beside it: {names.selection(one.shared)})"
    if not one.found:
        return [(what, percent, one.reason, "")]
    rows: list[tuple[str, ...]] = []
    for place, found in enumerate(one.found):
        which = f"{found.which} of {one.combinations}: " if found.which else ""
        first = ("", "") if place else (what, percent)
        rows.append(
            (
                *first,
                with_n(found.interval, found.n),
                which + names.at(without(found.at, one.shared)),
            )
        )
    return rows


def matched_table(matched: Matched, names: Names) -> Table:
    """The level that gives the published pair, the nearest combination first."""
    ours, theirs = matched.first.percent, matched.second.percent
    return Table(
        heads=(
            "definition",
            f"level where the first side keeps {plain(ours)} %",
            f"the other side keeps there, % (published {plain(theirs)})",
            "off by, points",
        ),
        rows=tuple(_match_row(match, theirs, matched.shared, names) for match in matched.matches),
    )


def _match_row(
    match: Match, published: float, where: Mapping[str, Value], names: Names
) -> tuple[str, ...]:
    at = names.at(without(match.at, where))
    if match.level is None:
        keeps = f"beyond the levels (keeps {100 * match.reach:.1f} % at the highest)"
        return (at, keeps, "-", "-")
    if match.beyond:
        return (at, f"{match.level:.3g}", f"beyond {match.beyond}", "-")
    off = match.kept.scaled(100)
    places = 0 if off.high - off.low >= 19 else 1
    kept = with_n(match.kept, match.second)
    return (at, f"{match.level:.3g}", kept, f"{off.mean - published:+.{places}f}")


def cells_table(compared: Compared) -> Table:
    """A comparison's cells."""
    several = len(compared.cells) > 1
    by = [factor_name(name) for name in compared.comparison.by]
    one_pair = len(compared.pairs) == 1
    sides = compared.pairs[0] if one_pair else ("claimed better", "other side")
    heads = (*by, *(f"{side}, %" for side in sides), "difference, points [95\u00a0%]", "by itself")
    if several:
        heads += (f"points [{compared.together_text}]", "together")
    mixed = len({cell.is_paired for cell in compared.cells}) > 1
    rows: list[tuple[str, ...]] = []
    starts, last = [], None
    for cell in compared.cells:
        group = cell.at[0] if cell.at else None
        if group != last:
            starts.append(len(rows))
        last = group
        pair = ("", "") if one_pair else tuple(
            f"{compared.name(side)}: " for side in (cell.better, cell.worse)
        )  # fmt: skip
        difference, together = cell.difference(), cell.difference(together=True)
        row = (
            *(compared.names.value(factor, value) for factor, value in cell.at),
            pair[0] + compared.side_text(cell.better),
            pair[1] + compared.side_text(cell.worse),
            share(difference) + (" (paired)" if mixed and cell.is_paired else ""),
            SAYS[cell.says()],
        )
        if several:
            row += (share(together), SAYS[cell.says(together=True)])
        rows.append(row)
    words = {len(by) + 3, len(by) + 5} | set(range(len(by))) | {0}
    return Table(heads=heads, rows=tuple(rows), left=frozenset(words), starts=frozenset(starts))


def hull_table(hulled: Hulled, one: HullSet) -> Table:
    """The cases of a set of figures."""
    several = len(hulled.cells) > 1
    heads: tuple[str, ...] = ("definition", "distance, points [95\u00a0%]", "by itself")
    if several:
        heads += (f"points [{hulled.together_text}]", "together")
    heads += ("at least", "largest step", "trainings", "chips")
    rows = []
    for cell in one.cells:
        row: tuple[str, ...] = (
            hulled.definition(cell, one),
            share(cell.distance()),
            HULL_SAYS[cell.says()],
        )
        if several:
            together = cell.distance(together=True)
            row += (share(together), HULL_SAYS[cell.says(together=True)])
        lost = sum(side.missing for side in cell.sides)
        row += (
            f"{100 * cell.between:.1f}",
            f"{100 * cell.step:.1f}",
            trainings_text(cell) + (f", {lost} not learned" if lost else ""),
            counts(chips for side in cell.sides for chips in side.chips),
        )
        rows.append(row)
    return Table(heads=heads, rows=tuple(rows), left=frozenset({0, 2, 4} if several else {0, 2}))


def peaks_table(compared: Compared) -> Table:
    """What each combination says of a claimed peak."""
    return Table(
        heads=("combination", "peak"),
        rows=tuple((compared.names.at(at), SAYS[word]) for at, word in compared.peaks),
        left=frozenset({0, 1}),
    )


def levels_table(panels: Sequence[Panel]) -> Table:
    """Normalised accuracy at each level or time: the figures behind the panels."""
    # Levels, then times; none at which the clean network stands.
    found = {
        (panel.swept.is_time, level): panel.swept.text(level, alone=False)
        for panel in panels
        for level in panel.levels
        if level or panel.swept.is_time
    }
    levels = sorted(found, key=lambda one: (one[0], -1.0 if one[1] is None else one[1]))
    rows: list[tuple[str, ...]] = []
    starts = []
    for panel in panels:
        starts.append(len(rows))
        for line in panel.lines:
            means = {
                (panel.swept.is_time, level): mean
                for level, mean in zip(line.levels, line.means, strict=True)
            }
            shown = [share(means[level]) if level in means else "-" for level in levels]
            rows.append((panel.title, line.label, str(line.n), *shown))
    return Table(
        heads=("combination", "side", "n", *(found[level] for level in levels)),
        rows=tuple(rows),
        left=frozenset({0, 1}),
        starts=frozenset(starts),
    )


def networks_table(report: StudyReport) -> Table:
    """All networks and what became of them."""
    return Table(
        heads=(
            *("network", "model", "norm", "learning rate", "epochs", "seed", "clean accuracy %"),
            *("training, s", "device", "weights (sha256)", "remark"),
        ),
        rows=tuple(_network_row(line) for line in report.networks),
        left=frozenset({0, 1, 2, 8, 9, 10}),
    )


def _network_row(line: NetworkLine) -> tuple[str, ...]:
    fact, lr = line.fact, line.recipe.get("lr")
    remark = "not learned" if line.has_not_learned else ""
    if line.state == FAILED and fact is not None:
        remark = f"training failed: {fact.failed}"
    elif line.state != "trained":
        remark = "; ".join(part for part in (line.state, remark) if part)
    return (
        line.network.name,
        line.network.model,
        line.network.norm_text,
        "-" if lr is None else f"{lr:g}",
        line.epochs,
        str(line.network.seed),
        "-" if line.clean is None else f"{100 * line.clean:.1f}",
        _seconds(0.0 if fact is None else fact.seconds),
        (fact.device if fact is not None else "") or "-",
        (fact.sha256[:12] if fact is not None else "") or "-",
        remark,
    )


def _seconds(value: float) -> str:
    return "-" if not value else f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def learned_text(report: StudyReport) -> str:
    """Which networks have not learned and what follows; "" where all have."""
    count = len(report.not_learned)
    if not count:
        return ""
    who = "1 network has" if count == 1 else f"{count} networks have"
    return (
        f"{who} not learned: the clean accuracy is at most {LEARNED:g} times chance, so that a "
        "share of it says nothing. Such networks have no normalised accuracy, and each cell says "
        "how many of its side they are."
    )
