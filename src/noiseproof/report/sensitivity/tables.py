"""Which layers lose the score, in words: the rows of the page's tables and of the terminal's."""

from collections.abc import Iterator
from typing import Any

from rich import box
from rich.table import Table

from noiseproof.results import Group, Ranking, Step, where_of
from noiseproof.results.showing import share_text

MOST = 30  # layers that a figure and a terminal show; the page's table and the JSON have all
Cells = dict[str, Any]


def group_lines(ranking: Ranking) -> list[Cells]:
    """A line per group, the most sensitive first; `tied`: not told apart from the next."""
    last = len(ranking.groups)
    return [
        {
            "rank": str(rank),
            "name": group.name,
            "drop": ranking.text(group.drop),
            # The last has no next one.
            "tied": rank < last and not group.is_told_apart,
            "nonfinite": f"{group.nonfinite:,}",
            **_shares(ranking, group),
        }
        for rank, group in enumerate(ranking.groups, start=1)
    ]


def step_lines(ranking: Ranking) -> list[Cells]:
    """A line per number of groups kept digital; the name of the last that joined them."""
    return [
        {
            "kept": str(len(step.kept)),
            "joined": f"+ {_joined(ranking, place)}" if place else "none",
            "accuracy": ranking.text(step.accuracy),
            "gain": ranking.text(step.gain) if step.kept else "",
            **_shares(ranking, step),
        }
        for place, step in enumerate(ranking.steps)
    ]


def _joined(ranking: Ranking, place: int) -> str:
    """The groups that are new in a step, in few words."""
    # Steps are nested: each keeps the groups of the one before, and more.
    new = ranking.steps[place].kept[len(ranking.steps[place - 1].kept) :]
    return ", ".join(new) if len(new) <= 2 else f"{new[0]} to {new[-1]}"


def _shares(ranking: Ranking, part: Group | Step) -> Cells:
    return {
        "weights": share_text(ranking.weight_share(part)),
        "macs": share_text(ranking.mac_share(part)),
    }


def finding_text(ranking: Ranking) -> str | None:
    """What the intervals support, as a sentence; None where they support nothing."""
    if ranking.finding is None:
        return None
    step, before = ranking.finding.step, ranking.finding.before
    count, sign = len(step.kept), ranking.unit.sign
    which = f"first {count} of" if count > 1 else "first of"
    return (
        f"Kept digital, the {which} {len(ranking.groups)} {ranking.by}s "
        f"({share_text(ranking.weight_share(step))} % of the weights, "
        f"{share_text(ranking.mac_share(step))} % of the multiply-accumulates) bring "
        f"{ranking.metric} from {ranking.text(before)} to {ranking.text(step.accuracy)}{sign}, "
        "more than half of the way to the clean "
        f"{ranking.unit.value(ranking.clean_accuracy.mean)}{sign}."
    )


def terminal_tables(ranking: Ranking) -> Iterator[Table]:
    """The ranking, and the score with its first groups kept digital."""
    row, images = ranking.first, ranking.clean.images
    title = f"{row.model} {row.norm} on {row.data}, {images:,} test images, clean "
    title += f"{ranking.metric} {ranking.text(ranking.clean_accuracy)}{ranking.unit.sign}\n"
    title += f"{row.noise} on {where_of(row)}, in one {ranking.by} alone"
    table = _table(title, _caption(ranking))
    heads = ("#", ranking.by, f"drop{ranking.unit.points}", "weights %", "mult.-acc. %")
    for head in heads:
        table.add_column(head, justify="left" if head == ranking.by else "right", no_wrap=True)
    # Cut after the ranks and ties were found, which need the next group too.
    for line in group_lines(ranking)[:MOST]:
        drop = line["drop"] + (" ~" if line["tied"] else "  ")
        table.add_row(line["rank"], line["name"], drop, line["weights"], line["macs"])
    yield table
    if ranking.steps:
        yield _digital(ranking)


def _digital(ranking: Ranking) -> Table:
    table = _table(
        f"the same noise everywhere but in the first {ranking.by}s of the ranking",
        "On the same images and fresh dice. gain: paired, over none kept digital. [..]: as above.",
    )
    score, gain = f"{ranking.metric}{ranking.unit.sign}", f"gain{ranking.unit.points}"
    for head in ("digital", f"which {ranking.by}s", score, gain):
        table.add_column(head, justify="left" if head.startswith("which") else "right")
    for head in ("weights %", "mult.-acc. %"):
        table.add_column(head, justify="right", no_wrap=True)
    for line in step_lines(ranking):
        names = ("kept", "joined", "accuracy", "gain", "weights", "macs")
        table.add_row(*(line[name] for name in names))
    return table


def _caption(ranking: Ranking) -> str:
    more = len(ranking.groups) - MOST
    text = f"{more} more, with lower drops: see the report or --json. " if more > 0 else ""
    return (
        f"{text}drop: {ranking.drop} on the same images. [..]: 95 % interval "
        f"over {ranking.over} ({ranking.whom}). ~: not told apart from the next one."
    )


def _table(title: str, caption: str) -> Table:
    table = Table(title=title, caption=caption, box=box.SIMPLE_HEAD)
    table.title_justify = table.caption_justify = "left"
    return table
