"""The product of a dac's codes with a kernel, as it comes out of the array, and its read noise.

With x the inputs of a layer, r their range, n the outermost code of the dac, s the scale of the
kernel W and w = W / s: the array gets the codes c of x n / r and returns W c = s n (w c / n). What
stands behind it works in units of that bracket, in which weights and inputs reach from -1 to 1.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.modules.conv import _ConvNd

from noiseproof.hardware.converters import coded, outermost, per_range
from noiseproof.hardware.patches import as_outputs, in_parts, matrix_of, patches
from noiseproof.hardware.reads import read_variance, squared_norms
from noiseproof.network import LinearMap, Plain
from noiseproof.specs import Dac, Read


@dataclass(frozen=True, kw_only=True, eq=False)
class Multiplied:
    """What an array returned: `y`, and the `variance` of its read noise (None: no such noise).
    `step`: what y is divided by to be in units of weights alone, the scale times a full input where
    inputs have one. `one()`: what a product of 1, of full weights and inputs, is in y. `back`: what
    y is multiplied with to be in the network's own units; None for 1."""

    y: Tensor
    variance: Tensor | None
    step: Tensor
    one: Callable[[], Tensor]
    back: Tensor | float | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Array:
    """One layer's array: the `dac` in front of it, `read` noise of its devices, the `scale` of its
    kernel in a shape that broadcasts against outputs, and its `range` where that is static."""

    linear_map: LinearMap
    plain: Plain
    dac: Dac | None
    read: Read | None
    scale: Tensor
    range: float

    def multiplied(self, x: Tensor, largest: Callable[[Tensor], Tensor]) -> Multiplied:
        """The product with x (N, ...); `largest` gives max |x| of each sample's whole input."""
        if self.dac is None:
            # Exact inputs have no range: the largest of a sample is a unit to compare with.
            y, variance = self._product(x)
            return Multiplied(
                y=y,
                variance=variance,
                step=self.scale,
                one=lambda: self.scale * largest(x),
                back=None,
            )
        top = outermost(self.dac.bits, self.dac.codes)
        if self.dac.scheme == "static":
            codes = coded(x, top / self.range if self.range else 0.0, top)
            back: Tensor | float = self.range / top
        elif self.dac.scheme == "vector" and isinstance(self.plain.layer, _ConvNd):
            return self._by_vector(x, top)
        else:
            is_image = self.dac.scheme == "image"
            range_ = largest(x) if is_image else x.detach().abs().amax(-1, keepdim=True)
            codes, back = coded(x, per_range(top, range_), top), range_ / top
        y, variance = self._product(codes)
        return self._coded(y, variance, top, back)

    def _product(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """What comes out for x, codes or not, and the variance of its noise."""
        y = self.plain(x)
        if self.read is None or not self.read.level:
            return y, None
        with torch.no_grad():
            return y, read_variance(
                self.read,
                self.plain.kernel,
                self.scale,
                norms=lambda: squared_norms(x, self.linear_map, self.plain),
                times=lambda kernel: self.plain(x.square(), kernel=kernel),
            )

    def _by_vector(self, x: Tensor, top: float) -> Multiplied:
        """The product of a convolution whose every input vector has a range of its own, so that
        they have to be laid out."""
        layer = self.plain.layer
        assert isinstance(layer, _ConvNd)
        single = x.dim() == len(layer.kernel_size) + 1  # without a batch
        found = [
            self._of_patches(part, layer, top) for part in in_parts(x[None] if single else x, layer)
        ]
        y, variance, back = (torch.cat(one) for one in zip(*found, strict=True))
        if single:
            y, variance, back = y[0], variance[0], back[0]
        is_noisy = self.read is not None and self.read.level > 0
        return self._coded(y, variance if is_noisy else None, top, back)

    def _coded(
        self, y: Tensor, variance: Tensor | None, top: float, back: Tensor | float
    ) -> Multiplied:
        step = self.scale * top
        return Multiplied(y=y, variance=variance, step=step, one=lambda: step, back=back)

    def _of_patches(self, x: Tensor, layer: _ConvNd, top: float) -> tuple[Tensor, Tensor, Tensor]:
        """Outputs, variances of their noise, and the step of a code of each, all (N, C, ...)."""
        vectors, places = patches(x, layer)  # (N, groups, places, inputs)
        range_ = vectors.detach().abs().amax(-1, keepdim=True)
        codes = coded(vectors, per_range(top, range_), top)
        squares = codes.detach().square()
        outputs = layer.out_channels // layer.groups

        def times(values: Tensor, kernel: Tensor) -> Tensor:
            matrix = matrix_of(kernel, layer, self.linear_map)  # (groups, outputs, inputs)
            return as_outputs(values @ matrix.transpose(1, 2), places)

        def wide(values: Tensor) -> Tensor:
            return as_outputs(values.expand(-1, -1, -1, outputs), places)

        back = wide(range_ / top)
        y = times(codes, self.plain.kernel)
        if self.read is None or not self.read.level:
            return y, back, back
        variance = read_variance(
            self.read,
            self.plain.kernel.detach(),
            self.scale,
            norms=lambda: wide(squares.sum(-1, keepdim=True)),
            times=lambda kernel: times(squares, kernel),
        )
        return y, variance, back
