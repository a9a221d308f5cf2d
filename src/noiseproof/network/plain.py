"""What stands at a product of a layer, and what it is given."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from inspect import BoundArguments
from typing import Any, cast

from torch import Tensor, nn

from noiseproof.network.linear_maps import LinearMap


@dataclass(frozen=True, eq=False)
class Plain:
    """The product of `layer` with its kernel, of any inputs, without its bias: what an exact array
    does. May be called several times, or not at all, and with another kernel in that one's place
    (as with squares, for the variance of a product)."""

    layer: nn.Module
    _inputs: tuple[str, ...]
    _given: BoundArguments
    _forward: Callable[..., Tensor]
    _kernel: Tensor | None = None

    @property
    def kernel(self) -> Tensor:
        """What the array holds. It is the chip's own tensor that stands in the layer, not the
        skeleton's: `outputs` runs by functional_call."""
        weight = self.layer._parameters["weight"]
        assert weight is not None
        return weight if self._kernel is None else self._kernel

    def with_kernel(self, kernel: Tensor) -> "Plain":
        """The product with another kernel, as a part of the layer's for a part of its inputs."""
        return replace(self, _kernel=kernel)

    def __call__(self, *inputs: Any, kernel: Tensor | None = None) -> Tensor:
        self._given.arguments.update(zip(self._inputs, inputs, strict=True))
        # Taken away and given back rather than subtracted afterwards, which would round.
        held = dict(self.layer._parameters)
        if held.get("bias") is not None:
            self.layer._parameters["bias"] = None
        # Typed as a parameter; a plain tensor has all of one that a forward uses.
        used = self.kernel if kernel is None else kernel
        self.layer._parameters["weight"] = cast(nn.Parameter, used)
        try:
            return self._forward(*self._given.args, **self._given.kwargs)
        finally:
            self.layer._parameters.update(held)


Product = Callable[[LinearMap, tuple[Any, ...], Plain], Tensor]
"""(the map, the inputs that feed it, its plain product) -> the outputs. So what stands in front of
an array changes the inputs, and what stands behind it the outputs; the bias is digital and is
added afterwards."""
