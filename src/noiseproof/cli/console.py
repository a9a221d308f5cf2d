"""What the command line shows: tables on stdout."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from noiseproof import stats
from noiseproof.report import finding_text, terminal, terminal_tables
from noiseproof.results import Curve, Ranking, Trace
from noiseproof.specs import Spec

if TYPE_CHECKING:
    from noiseproof.measuring import TensorFacts
    from noiseproof.study import Line, NetworkProgress

WIDTH_WITHOUT_TERMINAL = 160


def console(*, stderr: bool = False, width: int = WIDTH_WITHOUT_TERMINAL) -> Console:
    """A console that prints what it is given: brackets are intervals here, not markup. `width`:
    where there is no terminal."""
    screen = Console(stderr=stderr, markup=False, highlight=False)
    if not screen.is_terminal:
        screen.width = width
    return screen


def print_listing(title: str, entries: dict[str, str]) -> None:
    """Names and what they are."""
    table = Table(title=title, title_justify="left", show_header=False, box=None)
    for name, about in entries.items():
        table.add_row(name, about)
    console().print(table)


def print_inventory(
    name: str,
    tensors: "Sequence[TensorFacts]",
    noise: Spec | None,
    targets: Sequence[str],
) -> None:
    """One line per tensor, and the share of elements that the noise touches."""
    table = Table(title=f"{name}: {len(tensors)} tensors", title_justify="left")
    for column in ("tensor", "role", "shape", "elements"):
        table.add_column(column, justify="right" if column == "elements" else "left")
    if noise is not None:
        table.add_column("touched")
    for tensor in tensors:
        shape = "x".join(str(size) for size in tensor.shape) or "scalar"
        cells = [tensor.name, tensor.role, shape, f"{tensor.elements:,}"]
        if noise is not None:
            cells.append("yes" if tensor.touched else "no")
        table.add_row(*cells)
    console().print(table)
    if noise is not None:
        sizes = [(t.elements, t.touched) for t in tensors if t.role != "constant"]
        reached = sum(size for size, is_touched in sizes if is_touched)
        print_coverage(noise, ",".join(targets), reached, sum(size for size, _ in sizes))


def print_coverage(noise: Spec, where: str, reached: int, total: int) -> None:
    """The share of a network that the noise touches, so that nothing stays clean silently; `where`:
    what it is on, in words."""
    share = 100 * reached / total if total else 0.0
    print(f"{noise.family} on {where} touches {reached:,} of {total:,} elements ({share:.1f} %)")


def print_curves(
    curves: Sequence[Curve], *, title: str | None = None, above: float | None = None
) -> None:
    """The table of estimates, one line per point; a narrow terminal gets fewer columns. `above`:
    also the share of chips that score at least that."""
    screen = console()
    screen.print(terminal.curves_table(curves, width=screen.width, title=title))
    lines = [*terminal.clean_lines(curves), *terminal.spread_lines(curves, above)]
    for line in (*lines, *terminal.average_lines(curves)):
        print(line)


def print_traces(traces: Sequence[Trace]) -> None:
    """A table for each stream: the mean over it, the paired difference to off, both its ends."""
    for table in terminal.trace_tables(traces):
        console().print(table)


def print_ranking(ranking: Ranking) -> None:
    """Both tables, and what their intervals support."""
    for table in terminal_tables(ranking):
        console().print(table)
    if text := finding_text(ranking):
        print(text)


def print_plan(title: str, lines: "Sequence[Line]") -> None:
    """What a study would do, and for how long."""
    table = Table(title=title, title_justify="left")
    for column in ("work", "left", "in all", "each", "time"):
        table.add_column(column, justify="left" if column == "work" else "right")
    for line in lines:
        each = f"{line.each:.3g} s" if line.left else ""
        left = f"{line.left:,} {line.unit}"
        table.add_row(line.what, left, f"{line.in_all:,}", each, stats.duration(line.seconds))
    table.add_row("all", "", "", "", stats.duration(sum(line.seconds for line in lines)))
    console().print(table)


def print_status(title: str, states: "Sequence[NetworkProgress]") -> None:
    """How far a study is."""
    table = Table(title=title, title_justify="left")
    for column in ("network", "state", "clean", "curves", "rows", ""):
        table.add_column(column, justify="right" if column in ("clean", "rows") else "left")
    for one in states:
        clean = "" if one.clean is None else f"{100 * one.clean:.2f} %"
        begun = f" (+{one.begun} begun)" if one.begun else ""
        curves = f"{one.curves}/{one.curves_in_all}{begun}"
        table.add_row(one.name, one.state, clean, curves, f"{one.rows:,}", one.note)
    console().print(table)
