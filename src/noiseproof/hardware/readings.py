"""Readings of real devices: a table of what was wanted and what was read, and its moments.

Moments are told with how they are related, so that a fit to them can say what it does not know.
"""

import csv
import itertools
import math
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from noiseproof.core.checks import NoEffectWarning
from noiseproof.specs.times import time_text

REQUIRED = ("target", "read", "time")
NAMES = {
    "target": ("target", "g_target", "target_conductance", "target_g"),
    "read": ("read", "g_read", "read_conductance", "read_g", "measured", "conductance"),
    "time": ("time", "t", "seconds", "seconds_since_programming", "time_since_programming"),
    "device": ("device", "device_id", "id"),
    "polarity": ("polarity", "sign"),
}
"""What laboratories call the columns; a unit behind them, as in `time_s` or `target (uS)`, is no
part of the name."""
_UNIT = re.compile(r"[_ ]*(\((us|s|na|seconds)\)|\[(us|s|na|seconds)\]|_(us|s|na))$")
PROGRAMMED = ("", "programmed")
MOST_BINS, MOST_TIMES = 40, 30
FEW = 30
"""Fewer readings than these of one target at one time tell too little: of n of them the standard
deviation is known to 1 in sqrt(2 n), 13 % for 30."""
Array = Any


@dataclass(frozen=True)
class Readings:
    """One reading in each place: conductances in one unit; `time` in seconds since programming,
    nan for what was just programmed, without read noise; `device` tells devices apart (None: each
    reading is of another)."""

    target: Array
    read: Array
    time: Array
    device: Array | None

    def __len__(self) -> int:
        return len(self.target)


@dataclass(frozen=True)
class Moment:
    """A moment of what was read, with its place in the order of `COLUMNS` of its bin: the mean of
    column `first`, its variance (`second` the same column), or a covariance of two."""

    kind: str  # mean, variance, covariance
    first: int
    second: int
    value: float
    error: float
    count: int


@dataclass(frozen=True)
class Bin:
    """All readings of one target (or of neighbouring ones). `related`: the covariance of the
    moments with each other."""

    target: float
    moments: tuple[Moment, ...]
    related: Array


@dataclass(frozen=True)
class Measured:
    """Moments by bins; `times` of the columns that they speak of (nan: just programmed)."""

    times: tuple[float, ...]
    bins: tuple[Bin, ...]


def read_readings(path: str | Path) -> Readings:
    """The readings in the CSV file `path`: columns target, read, time (seconds since programming;
    `programmed` or nothing for what was just programmed), and perhaps device and polarity, which
    tell devices apart; other columns are not used, and a warning says so.

    Raises:
        ValueError: in one line: the row, the column, what is expected.
    """
    file = Path(path)
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            rows = list(csv.reader(lines))
    except OSError as error:
        raise ValueError(f"cannot read the readings {file}: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error):
        raise ValueError(f"the readings {file} are not a table of text (CSV, UTF-8)") from None
    if not rows:
        raise ValueError(f"the readings {file} are empty")
    names = [_column_name(name) for name in rows[0]]
    for name in NAMES:
        if names.count(name) > 1 or (name in REQUIRED and name not in names):
            raise ValueError(
                f"the readings {file} need one column {name!r}, got {', '.join(rows[0])}"
            )
    if unused := [name for name in names if name not in NAMES]:
        warnings.warn(
            NoEffectWarning(f"columns of {file} that are not used: {', '.join(unused)}"),
            stacklevel=2,
        )
    found: dict[str, list[Any]] = {name: [] for name in names}
    for number, row in enumerate(rows[1:], 2):
        if not row:
            continue
        if len(row) != len(names):
            raise ValueError(f"{file}, line {number}: {len(names)} values expected, got {len(row)}")
        for name, text in zip(names, row, strict=True):
            found[name].append(_value(name, text.strip(), f"{file}, line {number}"))
    if not found["target"]:
        raise ValueError(f"the readings {file} have a header and no rows")
    device = None
    if "device" in found:
        both = zip(found["device"], found.get("polarity", found["device"]), strict=True)
        codes: dict[tuple[str, str], int] = {}
        device = np.array([codes.setdefault(key, len(codes)) for key in both])
    target, read, time = (np.array(found[name], dtype=float) for name in REQUIRED)
    return Readings(target, read, time, device)


def _column_name(text: str) -> str:
    """The column that `text` is, of `NAMES`; else `text` itself."""
    plain = _UNIT.sub("", text.strip().lower())
    plain = re.sub(r"[ -]+", "_", plain)
    return next((name for name, known in NAMES.items() if plain in known), text.strip())


def _value(name: str, text: str, where: str) -> float | str:
    if name not in REQUIRED:
        return text
    if name == "time" and text in PROGRAMMED:
        return math.nan
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or (number < 0 and name != "read"):
        rule = {"read": "a number", "target": "a number >= 0"}.get(
            name, "seconds >= 0 without a unit, or programmed"
        )
        raise ValueError(f"{where}: {name} must be {rule}, got {text!r}")
    return number


def measured(readings: Readings) -> Measured:
    """The moments of `readings`: of each target at each time its mean and variance, and where
    devices are told apart the covariances of neighbouring times.

    Raises:
        ValueError: for fewer than ten readings of one target at one time everywhere.
    """
    times, column = _columns(readings)
    bins = []
    for here in _bins(readings.target):
        table, target = _table(readings, column, here, len(times))
        moments, related = _moments(table, 1e-6 * float(np.abs(readings.target).max()))
        if moments:
            bins.append(Bin(target, tuple(moments), related))
    if not bins:
        raise ValueError(
            "too few readings: at least 10 of one target at one time are needed, and "
            f"{FEW} or more say something of its spread, got {len(readings)} readings in all"
        )
    return Measured(tuple(times), tuple(bins))


def _bins(target: Array) -> list[Array]:
    """The places of each target's readings; of many targets, neighbours are together."""
    values = np.unique(target)
    if len(values) <= MOST_BINS:
        return [np.flatnonzero(target == value) for value in values]
    edges = np.linspace(values[0], values[-1], MOST_BINS + 1)
    which = np.clip(np.searchsorted(edges, target, side="right") - 1, 0, MOST_BINS - 1)
    return [np.flatnonzero(which == k) for k in range(MOST_BINS) if (which == k).any()]


def _columns(readings: Readings) -> tuple[list[float], Array]:
    """The times that there are, just programmed first, and the column of each reading. Times that
    differ by a few per cent are one; a device that is read several times at one has as many
    columns."""
    known = np.unique(readings.time[~np.isnan(readings.time)])
    steps = np.flatnonzero(np.diff(np.log(known + 1)) > 0.05) + 1
    groups = np.split(known, steps) if len(known) else []
    if len(groups) > MOST_TIMES:
        edges = np.linspace(0, len(groups), MOST_TIMES + 1).astype(int)
        groups = [np.concatenate(groups[a:b]) for a, b in itertools.pairwise(edges)]
    place = np.full(len(readings), -1)
    middles = [math.nan]
    for number, group in enumerate(groups):
        inside = (readings.time >= group[0]) & (readings.time <= group[-1])
        place[inside] = number
        middles.append(float(np.median(readings.time[inside])))
    repeat = np.zeros(len(readings), dtype=int)
    if readings.device is not None:
        # how many readings of this device at this time and target came before
        order = np.lexsort((readings.device, readings.target, place))
        keys = np.stack([readings.device, readings.target, place])[:, order]
        new = np.concatenate([[True], (keys[:, 1:] != keys[:, :-1]).any(0)])
        starts = np.maximum.accumulate(np.where(new, np.arange(len(readings)), 0))
        repeat[order] = np.arange(len(readings)) - starts
    pairs, column = np.unique(np.stack([place, repeat]), axis=1, return_inverse=True)
    return [middles[p + 1] for p in pairs[0]], column.reshape(-1)


def _table(readings: Readings, column: Array, here: Array, width: int) -> tuple[Array, float]:
    """Readings by device and column, nan where there is none. Targets that differ within a bin are
    moved to its mean."""
    target = float(readings.target[here].mean())
    values = readings.read[here] - readings.target[here] + target
    if readings.device is None:
        row = np.arange(len(here))
    else:
        both = np.stack([readings.device[here].astype(float), readings.target[here]])
        row = np.unique(both, axis=1, return_inverse=True)[1].reshape(-1)
    table = np.full((row.max() + 1, width), math.nan)
    table[row, column[here]] = values
    return table, target


def _moments(table: Array, floor: float) -> tuple[list[Moment], Array]:
    """Means, variances and covariances of columns, and the covariance of all these. `floor`: what
    the readings' own digits leave open."""
    there = ~np.isnan(table)
    counts = there.sum(0)
    columns = [c for c in range(table.shape[1]) if counts[c] >= 10]
    means = np.array(
        [table[there[:, c], c].mean() if counts[c] else 0.0 for c in range(len(counts))]
    )
    centred = np.where(there, table - means, 0.0)
    kinds = [("mean", c, c) for c in columns] + [("variance", c, c) for c in columns]
    neighbours = set(itertools.pairwise(columns))
    if len(columns) > 2:
        neighbours.add((columns[0], columns[-1]))
    kinds += [("covariance", c, d) for c, d in sorted(neighbours)]
    moments: list[Moment] = []
    parts = []
    for kind, c, d in kinds:
        both = there[:, c] & there[:, d]
        count = int(both.sum())
        if count < 10:
            continue
        product = centred[:, c] if kind == "mean" else centred[:, c] * centred[:, d]
        value = float(means[c]) if kind == "mean" else float(product[both].sum() / (count - 1))
        part = np.where(both, product - (0.0 if kind == "mean" else value), 0.0) / count
        error = math.sqrt(float((part**2).sum()))
        if kind != "mean":  # of few readings the fourth moment is itself not known
            spread = float(np.sqrt((centred[both, c] ** 2).mean() * (centred[both, d] ** 2).mean()))
            error = max(error, spread / math.sqrt(count), floor**2)
        moments.append(Moment(kind, c, d, value, max(error, floor if kind == "mean" else 0), count))
        parts.append(part)
    if not moments:
        return [], np.zeros((0, 0))
    stacked = np.stack(parts)
    related = stacked @ stacked.T
    scale = np.array([one.error for one in moments]) / np.sqrt(np.maximum(np.diag(related), 1e-300))
    return moments, related * np.minimum(scale, 1e6)[:, None] * np.minimum(scale, 1e6)


def reading_times(found: Measured) -> list[float]:
    """Seconds since programming, ascending, each once."""
    return sorted({time for time in found.times if not math.isnan(time)})


def thin_lines(found: Measured, readings: Readings) -> tuple[str, ...]:
    """What there is too little of, a line each."""
    lines = []
    few: dict[float, int] = {}
    for column, time in enumerate(found.times):
        counts = [_count(one, column) for one in found.bins]
        if (least := min(counts)) < FEW:
            few[time] = min(few.get(time, FEW), least)
    for time, least in few.items():
        when = "just programmed" if math.isnan(time) else f"at {time_text(time)}"
        lines.append(
            f"thin: {least} readings of one target {when}, under {FEW}: a spread is known to "
            f"{100 / math.sqrt(2 * max(least, 1)):.0f} % at best"
        )
    if len(found.bins) == 1:
        lines.append("thin: one target: what it shows is held for all conductances")
    elif len(found.bins) < 4:
        lines.append(f"thin: {len(found.bins)} targets: between them curves are straight lines")
    times = reading_times(found)
    if len(times) > 1 and (times[-1] + 1) / (times[0] + 1) < 30:
        lines.append("thin: the last time is under 30 times the first: drift is known badly")
    if readings.device is None and len(times) > 1:
        lines.append(
            "devices are not told apart (no column device): programming and read noise are told "
            "apart only by how the spread grows"
        )
    return tuple(lines)


def _count(one: Bin, column: int) -> int:
    return max((m.count for m in one.moments if m.kind == "mean" and m.first == column), default=0)
