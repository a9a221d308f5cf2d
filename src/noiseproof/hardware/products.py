"""What happens at every product of a chip, stage by stage: dac, read, output, adc.

Wires have their place between read and output. They are linear and stay as they are on a chip, so
that they are in its kernels before anything is multiplied.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from noiseproof.hardware.arrays import Array, Multiplied
from noiseproof.hardware.converters import converted, outermost, per_range
from noiseproof.hardware.cutting import Cut, CutProduct
from noiseproof.hardware.ranges import Ranges
from noiseproof.hardware.reads import with_noise
from noiseproof.hardware.samples import Cursor, Dice, SampleAxis, largest_of_sample
from noiseproof.hardware.wires import Wiring
from noiseproof.network import Chip, LinearMap, Plain, Product
from noiseproof.specs import Adc, Dac, Mvm, Output, Read, Wires


@dataclass(frozen=True, kw_only=True, eq=False)
class Products:
    """The arrays of one network, ready for chips: by the names of linear maps their kernels'
    names, the `scales` (C,) of those, the ranges of converters, and where samples lie in what the
    layers return. `cuts`: the layers of several arrays, whose names `ranges` and `axes` have too.
    `wiring`: None for wires without resistance. `cursor` is moved by whoever runs passes."""

    mvm: Mvm
    weights: Mapping[str, str]
    scales: Mapping[str, Tensor]
    ranges: Mapping[str, Ranges]
    axes: Mapping[str, SampleAxis | None]
    cursor: Cursor
    cuts: Mapping[str, Cut]
    wiring: Wiring | None = None

    def on(
        self,
        chip: Chip,
        seed: int,
        number: int,
        *,
        only: Container[str] | None = None,
        seen: int = 0,
    ) -> Chip:
        """Chip number `number` of `seed` with what happens at its products; `only` of the kernels
        with these names, all others multiply exactly. `seen`: how many samples of a stream were
        there before."""
        names = [name for name in self.scales if only is None or self.weights[name] in only]
        if self.wiring is not None:
            by_kernel = {self.weights[name]: self._scale(name, chip) for name in names}
            wired = self.wiring.on(chip.state, by_kernel)
            chip = replace(chip, state={**chip.state, **wired})
        if all(isinstance(stage, Wires) for stage in self.mvm.stages):
            return chip  # its products are exact
        dice = Dice(seed=seed, chip=number, seen=seen, cursor=self.cursor, axes=self.axes)
        products = {name: self._product(name, chip, dice) for name in names}
        return replace(chip, products={**chip.products, **products})

    def _product(self, name: str, chip: Chip, dice: Dice) -> Product:
        def one(array: str, scale: Tensor) -> LayerProduct:
            return LayerProduct(
                mvm=self.mvm, name=array, scale=scale, ranges=self.ranges.get(array), dice=dice
            )

        if name not in self.cuts:
            return one(name, self._scale(name, chip))
        cut, gain = self.cuts[name], self._gain(name, chip)
        scales = [scale if gain is None else scale * gain.to(scale) for scale in cut.scales]
        return CutProduct(parts=cut.parts, products=tuple(map(one, cut.names, scales)))

    def _scale(self, name: str, chip: Chip) -> Tensor:
        """What the layer's kernel is divided by to get what its array holds: a digital factor
        behind the array is in the kernel too."""
        gain = self._gain(name, chip)
        return self.scales[name] if gain is None else self.scales[name] * gain.to(self.scales[name])

    def _gain(self, name: str, chip: Chip) -> Tensor | None:
        return chip.gains.get(self.weights[name])


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerProduct:
    """What happens at the products of one array of one chip. `scale` (C,): what its kernel is
    divided by; `ranges`: None where no calibration image has reached the layer."""

    mvm: Mvm
    name: str
    scale: Tensor
    ranges: Ranges | None
    dice: Dice

    def __call__(self, linear_map: LinearMap, inputs: tuple[Any, ...], plain: Plain) -> Tensor:
        x, whole = inputs[0], inputs[-1]  # of an array that is a part of a layer, that one's too
        call = self.dice.cursor.call(self.name)
        shape = (-1, *[1] * (-1 - linear_map.axis))  # broadcasts against outputs
        dac = self.mvm.get(Dac)
        array = Array(
            linear_map=linear_map,
            plain=plain,
            dac=dac,
            read=self.mvm.get(Read),
            scale=self.scale.to(x).view(shape),
            range=self._known.inputs if dac is not None and dac.needs_images else 0.0,
        )
        found = array.multiplied(x, lambda _: self._largest(whole))
        y = self._noisy(found, linear_map.axis, call)
        adc = self.mvm.get(Adc)
        if adc is not None:
            return self._converted(adc, replace(found, y=y), shape)
        return y if found.back is None else y * found.back

    def _noisy(self, found: Multiplied, axis: int, call: int) -> Tensor:
        """The product with the noise that stands in front of the adc."""
        output, variance = self.mvm.get(Output), found.variance
        if output is not None and output.level:
            own = (output.level * found.one()).square()
            variance = own if variance is None else variance + own
        if variance is None or not found.y.numel():
            return found.y
        # One draw for all of it: of independent Gaussians the variances add up.
        return with_noise(found.y, variance, self.dice.parts(found.y, self.name, axis, call))

    def _converted(self, adc: Adc, found: Multiplied, shape: tuple[int, ...]) -> Tensor:
        """What the adc makes of a product, in the network's own units."""
        top = outermost(adc.bits)
        if adc.bound is not None:
            full = adc.bound * found.one()
        else:
            full = self._known.outputs.to(found.y).view(shape) * found.step
        slope = per_range(top, full)
        if adc.gain_sd:
            slope = slope * (1 + adc.gain_sd * self._fixed("adc gain", found.y, shape))
        offset: Tensor | float = 0.0
        if adc.offset_sd:
            offset = adc.offset_sd * top * self._fixed("adc offset", found.y, shape)
        back = full / top if found.back is None else full / top * found.back
        return converted(found.y, slope, top, back, offset)

    def _fixed(self, label: str, like: Tensor, shape: tuple[int, ...]) -> Tensor:
        """One number for each column, which a chip keeps."""
        return self.dice.fixed(self.name, label, len(self.scale)).to(like).view(shape)

    def _largest(self, x: Tensor) -> Tensor:
        """max |x| of each sample's whole input."""
        return largest_of_sample(x, self.dice.axes.get(self.name), self.name)

    @property
    def _known(self) -> Ranges:
        if self.ranges is None:
            raise ValueError(
                f"no calibration image has reached layer {self.name!r}, so its converters have no "
                "range: keep it digital, or give more images"
            )
        return self.ranges
