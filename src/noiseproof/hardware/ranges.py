"""Static ranges of converters, from calibration images on the clean network.

A percentile is that of all values of |x| or |y| that a layer met, zeros too, between two of them in
proportion, as numpy has it. It is exact and needs no more memory than its tail: a first pass counts
values, a second one keeps the largest.
"""

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from noiseproof.core.inputs import Inputs, parts, rows
from noiseproof.hardware.converters import per_range
from noiseproof.hardware.cutting import Cut, CutProduct
from noiseproof.hardware.patches import largest_of_vectors
from noiseproof.hardware.samples import SampleAxis, largest_of_sample
from noiseproof.network import Chip, LinearMap, Plain, State, outputs
from noiseproof.specs import Adc, Dac, Mvm

AT_ONCE = 50
"""Calibration images in a pass."""
Look = Callable[[str, LinearMap, tuple[Any, ...], Tensor, Plain], Tensor]
"""(array, map, its inputs and the layer's, outputs without bias, product) -> values >= 0 (rows, n)
"""


@dataclass(frozen=True, kw_only=True, eq=False)
class Ranges:
    """Of one layer: `inputs`, in its inputs' own units; `outputs` (1,) or (C,), in units of full
    weights and, behind a dac, of full inputs. 0 where the stage has no static range."""

    inputs: float
    outputs: Tensor


@dataclass(eq=False)
class Tail:
    """The largest of `total` values in each of several rows, which come in parts, as far down as a
    percentile needs them."""

    percentile: float
    total: int
    kept: Tensor | None = None

    def add_(self, values: Tensor) -> None:
        """`values` (rows, n)."""
        values = values if self.kept is None else torch.cat([self.kept, values], 1)
        wanted = min(self.total - math.floor(self._place), values.shape[1])
        self.kept = values.topk(wanted, dim=1).values

    def value(self) -> Tensor:
        """The percentile of each row (rows,)."""
        assert self.kept is not None
        lower = math.floor(self._place)
        # They descend: the last one is number `lower` of all from below.
        below = self.kept[:, -1].double()
        above = self.kept[:, max(-2, -self.kept.shape[1])].double()
        return below + (above - below) * (self._place - lower)

    @property
    def _place(self) -> float:
        return (self.total - 1) * self.percentile / 100


def static_ranges(
    skeleton: nn.Module,
    state: State,
    mvm: Mvm,
    images: Inputs,
    *,
    scales: Mapping[str, Tensor],
    axes: Mapping[str, SampleAxis | None],
    cuts: Mapping[str, Cut],
) -> dict[str, Ranges]:
    """The static ranges of `mvm` at the layers with these scales, and at the arrays of those that
    are cut, from `images` (N, ...) as the network takes them, of which each stage uses as many as
    it says, from the first on. Layers that no image reaches are left out."""
    dac, adc = mvm.get(Dac), mvm.get(Adc)
    inputs: dict[str, Tensor] = {}
    results: dict[str, Tensor] = {}
    if dac is not None and dac.percentile is not None:
        used = rows(images, slice(0, dac.images))
        inputs = percentiles(skeleton, state, used, scales, dac.percentile, _of_inputs, {})
        inputs |= {
            array: inputs[name]
            for name, cut in cuts.items()
            if name in inputs
            for array in cut.names
        }
    if adc is not None and adc.percentile is not None:
        used = rows(images, slice(0, adc.images))
        each = dict(scales) | {
            array: scale
            for cut in cuts.values()
            for array, scale in zip(cut.names, cut.scales, strict=True)
        }
        look = _of_outputs(dac, adc, each, axes, inputs)
        results = percentiles(skeleton, state, used, scales, adc.percentile, look, cuts)
    none = torch.zeros(1)
    return {
        name: Ranges(inputs=float(inputs.get(name, none)[0]), outputs=results.get(name, none))
        for name in {**inputs, **results}
    }


def percentiles(
    skeleton: nn.Module,
    state: State,
    images: Inputs,
    names: Collection[str],
    percentile: float,
    look: Look,
    cuts: Mapping[str, Cut],
) -> dict[str, Tensor]:
    """The percentile of what `look` sees at the products of the named layers, of each row; of a
    layer that is cut at those of each array."""
    counts: Counter[str] = Counter()
    tails: dict[str, Tail] = {}

    def counted(name: str, values: Tensor) -> None:
        counts[name] += values.shape[1]

    def kept(name: str, values: Tensor) -> None:
        tail = tails.setdefault(name, Tail(percentile, counts[name]))
        tail.add_(values)

    for see in (counted, kept):
        products = {
            name: CutProduct(
                parts=cuts[name].parts,
                products=tuple(_watched(array, look, see) for array in cuts[name].names),
            )
            if name in cuts
            else _watched(name, look, see)
            for name in names
        }
        chip = Chip(state, products)
        for part in parts(images, AT_ONCE):
            outputs(skeleton, chip, part)
    return {name: tail.value() for name, tail in tails.items()}


def _watched(name: str, look: Look, see: Callable[[str, Tensor], None]) -> Any:
    """An exact product that shows its values."""

    def product(linear_map: LinearMap, inputs: tuple[Any, ...], plain: Plain) -> Tensor:
        y = plain(inputs[0])
        if y.numel():
            see(name, look(name, linear_map, inputs, y, plain))
        return y

    return product


def _of_inputs(
    name: str, linear_map: LinearMap, inputs: tuple[Any, ...], y: Tensor, plain: Plain
) -> Tensor:
    x: Tensor = inputs[0]
    return x.abs().reshape(1, -1)


def _of_outputs(
    dac: Dac | None,
    adc: Adc,
    scales: Mapping[str, Tensor],
    axes: Mapping[str, SampleAxis | None],
    inputs: Mapping[str, Tensor],
) -> Look:
    """What sees outputs in units of full weights and inputs, in the rows that have a range each."""

    def look(
        name: str, linear_map: LinearMap, given: tuple[Any, ...], y: Tensor, plain: Plain
    ) -> Tensor:
        shape = (-1, *[1] * (-1 - linear_map.axis))
        found = y.abs() * per_range(1.0, scales[name].to(y)).view(shape)
        if dac is not None:
            found = found * per_range(
                1.0, _input_range(dac, axes.get(name), inputs, given, name, plain)
            )
        if adc.per == "layer":
            return found.reshape(1, -1)
        return found.movedim(linear_map.axis, 0).flatten(1)

    return look


def _input_range(
    dac: Dac,
    where: SampleAxis | None,
    inputs: Mapping[str, Tensor],
    given: tuple[Any, ...],
    name: str,
    plain: Plain,
) -> Tensor:
    """The range of a layer's inputs, in a shape that broadcasts against its outputs."""
    if dac.scheme == "static":
        return inputs[name].to(given[0])
    if dac.scheme == "vector":
        return largest_of_vectors(given[0], plain.layer)
    return largest_of_sample(given[-1], where, name)
