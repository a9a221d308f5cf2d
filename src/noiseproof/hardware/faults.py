"""Devices that do not work: stuck at an end of their range, or on a line that carries no current.

A device that is broken is so for ever: it neither drifts nor has read noise.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

Array = Any


@dataclass(frozen=True, kw_only=True)
class Faults:
    """Probabilities: of each device to be stuck at g_min or at g_max, of each row (an input, with
    all its devices) and each column (an output, that of g+ and that of g- on their own) to be
    dead, which is to carry no current."""

    at_gmin: float = 0.0
    at_gmax: float = 0.0
    dead_row: float = 0.0
    dead_column: float = 0.0

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if not 0 <= value <= 1:
                raise ValueError(f"{one.name} must be between 0 and 1, got {value:g}")
        if self.at_gmin + self.at_gmax > 1:
            raise ValueError(
                "at_gmin and at_gmax must be at most 1 together, "
                f"got {self.at_gmin:g} and {self.at_gmax:g}"
            )

    def __bool__(self) -> bool:
        return any(getattr(self, one.name) for one in fields(self))


@dataclass(frozen=True, kw_only=True)
class Lines:
    """What shares a line: weights (outputs, inputs) of `groups` equal groups of outputs, each in
    arrays of its own of at most `tile` rows (inputs) and columns (outputs); None is any number."""

    groups: int = 1
    tile: tuple[int, int] | None = None


NO_FAULTS = Faults()
ONE_ARRAY = Lines()
Breaking = Callable[[Tensor], Tensor]
"""Conductances of working devices -> of those that there are."""


def breakings(
    faults: Faults,
    is_minus: Tensor,
    generator: Generator,
    *,
    devices: int,
    ends: tuple[float, float],
    lines: Lines = ONE_ARRAY,
) -> list[Breaking]:
    """What is broken of the `devices` (1, or the one that carries the weight and its partner) of
    each weight.

    The draws do not depend on the probabilities, so that what is broken at a small one is among
    what is broken at a larger.

    - `is_minus`: (outputs, inputs ...), whether the first device of a weight lies in the array of
      the negative parts.
    - `ends`: g_min and g_max.
    - `lines`: which weights share a row or a column (default: all lie in one array).
    """
    stuck = [torch.rand(is_minus.shape, generator=generator) for _ in range(devices)]
    across, down = _arrays(is_minus, lines)
    inputs = is_minus.shape[1:].numel()
    rows = torch.rand(int(across.max(initial=0)) + 1, inputs, generator=generator)
    rows = (rows < faults.dead_row)[across].view(is_minus.shape)
    columns = torch.rand(2, len(across), int(down.max(initial=0)) + 1, generator=generator)
    plus, minus = ((columns < faults.dead_column)[:, :, down]).view(2, *is_minus.shape)
    first, second = torch.where(is_minus, minus, plus), torch.where(is_minus, plus, minus)
    return [
        _breaking(u < faults.at_gmin, u >= 1 - faults.at_gmax, rows | column, ends)
        for u, column in zip(stuck, (first, second)[:devices], strict=True)
    ]


def _arrays(w: Tensor, lines: Lines) -> tuple[Array, Array]:
    """For each output the number of its array across, for each input of its array down."""
    outputs = len(w) if w.dim() else 1
    each, inputs = outputs // lines.groups, w.shape[1:].numel()
    rows, columns = lines.tile or (max(inputs, 1), max(each, 1))
    group, output = np.divmod(np.arange(outputs), max(each, 1))
    return group * -(-each // columns) + output // columns, np.arange(inputs) // rows


def _breaking(low: Tensor, high: Tensor, dead: Tensor, ends: tuple[float, float]) -> Breaking:
    def broken(g: Tensor) -> Tensor:
        g = torch.where(low, torch.full((), ends[0], dtype=g.dtype), g)
        g = torch.where(high, torch.full((), ends[1], dtype=g.dtype), g)
        return torch.where(dead, torch.zeros((), dtype=g.dtype), g)

    return broken
