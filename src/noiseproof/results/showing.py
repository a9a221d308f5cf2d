"""How results show themselves: a few lines of text, the same as a small HTML table for notebooks,
and as a data frame of pandas."""

import html
import importlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from noiseproof.stats import Interval

if TYPE_CHECKING:
    from pandas import DataFrame

MOST = 20
"""Lines of one table; of more, `to_pandas` has the rest."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A result in few words: sentences, a table, and what its figures mean."""

    title: Sequence[str]
    heads: Sequence[str]
    lines: Sequence[Sequence[str]]
    note: str

    def text(self) -> str:
        """For a terminal; numbers stand under their heads."""
        table = [self.heads, *self.lines[:MOST]]
        # Of the lines that are shown: a long name among the others makes no gap.
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        padded = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
            for line in table
        ]
        return "\n".join(map(printable, [*self.title, *padded, *self._rest]))

    def html(self) -> str:
        """For a notebook; whatever the texts say, they are no tags."""
        title = "<br>".join(map(_escaped, self.title))
        head = "".join(f"<th>{_escaped(cell)}</th>" for cell in self.heads)
        body = "".join(
            f"<tr>{''.join(f'<td>{_escaped(cell)}</td>' for cell in line)}</tr>"
            for line in self.lines[:MOST]
        )
        rest = "".join(f"<p>{_escaped(line)}</p>" for line in self._rest)
        return (
            f"<div><p>{title}</p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
            f"{rest}</div>"
        )

    @property
    def _rest(self) -> list[str]:
        more = len(self.lines) - MOST
        return [f"... and {more} more: see to_pandas()"] * (more > 0) + [self.note]


class Shown:
    """What shows itself by a `summary`, and as a table by its `records`."""

    def summary(self) -> Summary:
        """What was measured, and the estimates with their intervals."""
        raise NotImplementedError

    def records(self) -> list[dict[str, Any]]:
        """The estimates and all that names them, an entry for each line of a tidy table."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return self.summary().text()

    def _repr_html_(self) -> str:
        return self.summary().html()

    def to_pandas(self) -> "DataFrame":
        """The `records` as a data frame; scores are as they were measured, not in percent.

        Raises:
            ValueError: without pandas.
        """
        try:
            pandas = importlib.import_module("pandas")
        except ImportError:
            raise ValueError(
                "to_pandas needs pandas: run `pip install 'noiseproof[pandas]'`"
            ) from None
        return pandas.DataFrame.from_records(self.records())


def spelled(interval: Interval) -> dict[str, float]:
    """Mean and ends, for a record."""
    return {"mean": interval.mean, "low": interval.low, "high": interval.high}


def count_of(number: int, what: str) -> str:
    """`1 chip`, `25 chips`."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def number_or_none(value: float) -> float | None:
    """JSON has no nan: an estimate that does not exist is null."""
    return value if math.isfinite(value) else None


def or_dash(value: float, text: str) -> str:
    """The text; `-` where the value does not exist."""
    return "-" if math.isnan(value) else text


def share_text(share: float) -> str:
    """In percent, with two digits that say something; `-` for nan."""
    value = 100 * share
    # From there on without decimals: .2g would write 99.6 as 1e+02.
    return or_dash(value, f"{value:.0f}" if value >= 9.95 or not value else f"{value:.2g}")


def printable(line: str) -> str:
    """The line without what would move a terminal's cursor, which a name may hold."""
    # Escape sequences begin with a sign that is not printable; a line break is none either.
    return "".join(sign if sign.isprintable() else "?" for sign in line).rstrip()


def _escaped(text: str) -> str:
    return html.escape(printable(text))
