"""Chips through one network, with less work around the arithmetic: normalisation folded away,
channels last, optionally compiled."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from noiseproof.core.inputs import Inputs, device_of_inputs, map_tensors, numel, tensors
from noiseproof.network.folding import Fold, fold_of, probe_of, shared_copy
from noiseproof.network.state import State, outputs

Forward = Callable[[Inputs], Any]


class Passes:
    """A network that takes the states of chips: `load(state)` gives the chip as a function.

    The outputs are those of `network.outputs(skeleton, state, x)` but for rounding: relative to
    the largest output the difference is of the order of eps sqrt(depth), and as much larger as the
    network itself amplifies a rounding error in its first layer. What cannot be folded or laid out
    anew runs as it is. `example` (N, ...), two inputs as the network takes them, decides it once.

    The modules are a private copy in evaluation mode; tensors are shared, and never written.

    Raises:
        ValueError: where the network cannot take `example`.
    """

    def __init__(
        self,
        skeleton: nn.Module,
        state: Mapping[str, Tensor],
        example: Inputs,
        *,
        compiled: bool = False,
    ) -> None:
        private = shared_copy(skeleton).eval()
        self.fold: Fold | None = fold_of(private, state, example)
        self.skeleton = private if self.fold is None else self.fold.skeleton
        self._flat = _flat_kernels(self.skeleton)
        self.channels_last = self._can_be_flat(private, state, example)
        self._compiled = _compiled(self.skeleton) if compiled else None
        self._compiled_elements = 0

    def load(self, state: Mapping[str, Tensor]) -> Forward:
        """One chip as a function of inputs (n, ...), without gradients. Of `state` one copy is
        made of the kernels that are folded or laid out anew; the rest is shared.

        Raises:
            ValueError: where the network cannot take the inputs; from the function itself.
        """
        ready = self.ready(state)
        return lambda x: self._run(ready, self.laid_out(x))

    def ready(self, state: Mapping[str, Tensor]) -> State:
        """The state of `skeleton` for that of a chip."""
        ready = dict(state) if self.fold is None else self.fold.state(state)
        if self.channels_last:
            _flatten_(ready, self._flat)
        return ready

    def noise(self, base: Mapping[str, Tensor], noise: Mapping[str, Tensor]) -> State:
        """Additive noise on `base` as noise on `ready(base)`; ValueError for noise on tensors that
        are folded into others."""
        return dict(noise) if self.fold is None else self.fold.noise(base, noise)

    def laid_out(self, x: Inputs) -> Inputs:
        """Inputs (n, ...) as `skeleton` takes them fastest."""
        return map_tensors(x, _flat) if self.channels_last else x

    def _run(self, ready: State, x: Inputs) -> Any:
        """Smaller inputs than seen before, the rest of a split, do not pay for a compilation."""
        if self._compiled is None or numel(x) < self._compiled_elements:
            return outputs(self.skeleton, ready, x)
        inner = {f"_orig_mod.{name}": tensor for name, tensor in ready.items()}
        try:
            result = outputs(self._compiled, inner, x)
        except ValueError as error:
            outputs(self.skeleton, ready, x)  # what the network itself says of such inputs
            raise ValueError(
                f"the network runs but cannot be compiled ({error}): use compiled=False"
            ) from error
        self._compiled_elements = numel(x)
        return result

    def _can_be_flat(
        self, skeleton: nn.Module, state: Mapping[str, Tensor], example: Inputs
    ) -> bool:
        """Has the network 2-d convolutions, and does all of it take their outputs channels last?
        (A `view` of activations does not.)"""
        is_image = any(tensor.dim() == 4 for tensor in tensors(example))
        device = device_of_inputs(example)
        if not self._flat or not is_image or device.type not in ("cpu", "cuda"):
            return False

        def run(state: State, x: Inputs) -> Any:
            ready = dict(state) if self.fold is None else self.fold.state(state)
            _flatten_(ready, self._flat)
            return outputs(self.skeleton, ready, map_tensors(x, _flat))

        return probe_of(skeleton, state, example).agrees(run)


def _compiled(skeleton: nn.Module) -> nn.Module:
    """`skeleton` compiled for fixed shapes; tensors that replace its own are inputs of the graph,
    so that chips share one compilation."""
    module = torch.compile(skeleton, dynamic=False)
    assert isinstance(module, nn.Module)
    return module


def _flat_kernels(skeleton: nn.Module) -> list[str]:
    """The kernels of 2-d convolutions, by name."""
    kinds = (nn.Conv2d, nn.ConvTranspose2d)
    return [f"{n}.weight" for n, m in skeleton.named_modules() if n and isinstance(m, kinds)]


def _flatten_(state: State, names: list[str]) -> None:
    """Lay the named tensors out channels last, one by one: each old one goes before the next."""
    for name in names:
        if name in state:
            state[name] = _flat(state[name])


def _flat(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x
