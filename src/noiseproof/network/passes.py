"""Chips through one network, with less work around the arithmetic: normalisation folded away,
channels last, optionally compiled."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from noiseproof.core.inputs import Inputs, device_of_inputs, map_tensors, numel, tensors
from noiseproof.network.chip import Chip, outputs
from noiseproof.network.folding import Fold, fold_of, probe_of, shared_copy
from noiseproof.network.linear_maps import Kind, linear_maps
from noiseproof.network.state import State

Forward = Callable[[Inputs], Any]


class Passes:
    """A network that takes chips: `load(chip)` gives one as a function.

    The outputs are those of `network.outputs(skeleton, chip, x)` but for rounding: relative to
    the largest output the difference is of the order of eps sqrt(depth), and as much larger as the
    network itself amplifies a rounding error in its first layer. What cannot be folded or laid out
    anew runs as it is, and so does a normalisation behind a layer at whose products the chip has
    something. `example` (N, ...), two inputs as the network takes them, decides it once.

    In a `dtype` (bfloat16) a chip is cast once it is folded, and inputs with it: that rounds every
    weight to 8 bits of mantissa, and is a part of what is measured.

    The modules are a private copy in evaluation mode; tensors are shared, and never written.

    Raises:
        ValueError: where the network cannot take `example`.
    """

    def __init__(
        self,
        skeleton: nn.Module,
        state: State,
        example: Inputs,
        *,
        compiled: bool = False,
        dtype: torch.dtype | None = None,
    ) -> None:
        self._whole = shared_copy(skeleton).eval()
        # Found once, on a random state: whether two layers fold does not depend on the chip.
        self.fold: Fold | None = fold_of(self._whole, state, example)
        # By the names of the products: a study has many chips and few such sets.
        self._folds: dict[frozenset[str], Fold | None] = {frozenset(): self.fold}
        self.skeleton = self._whole if self.fold is None else self.fold.skeleton
        # Folding and channels last go together: .500 of a clean pass, folding alone .675 (measured:
        # LOG.md, 2026-11-21, "what makes a chip fast").
        self._flat = _flat_kernels(self._whole, state)
        self.channels_last = self._can_be_flat(state, example)
        self._compiled = _compiled(self.skeleton) if compiled else None
        self._compiled_elements = 0
        self._dtype = dtype

    def load(self, chip: Chip) -> Forward:
        """One chip as a function of inputs (n, ...), without gradients. Of its state one copy is
        made of the kernels that are folded or laid out anew; the rest is shared. A chip with
        products is never compiled: torch would keep what it met at the first.

        Raises:
            ValueError: where the network cannot take the inputs; from the function itself.
        """
        fold, ready = self._fold_for(chip), self.ready(chip)
        skeleton = self._whole if fold is None else fold.skeleton
        if chip.products:
            return lambda x: outputs(skeleton, ready, self.laid_out(x))
        if self._dtype is not None:
            return self._cast(ready, self._dtype)
        return lambda x: self._run(ready, self.laid_out(x))

    def _cast(self, ready: Chip, dtype: torch.dtype) -> Forward:
        """A chip that computes in `dtype`; its outputs are float32 again."""
        state = {name: _as_float(tensor, dtype) for name, tensor in ready.state.items()}

        def run(x: Inputs) -> Any:
            given = map_tensors(self.laid_out(x), partial(_as_float, dtype=dtype))
            found = self._run(Chip(state), given)
            return tree_map(lambda one: _as_float(one, torch.float32), found)

        return run

    def ready(self, chip: Chip) -> Chip:
        """`chip` as the network with its normalisation folded away takes it, which is `skeleton`
        for a chip without products."""
        fold = self._fold_for(chip)
        state = dict(chip.state) if fold is None else fold.state(chip.state)
        if self.channels_last:
            _flatten_(state, self._flat)
        return Chip(state, chip.products)

    def _fold_for(self, chip: Chip) -> Fold | None:
        products = frozenset(chip.products)
        if products not in self._folds:
            fold = self.fold
            self._folds[products] = None if fold is None else fold.without(products, self._whole)
        return self._folds[products]

    def noise(self, base: Mapping[str, Tensor], noise: Mapping[str, Tensor]) -> State:
        """Additive noise on `base` as noise on what `ready` makes of it; ValueError for noise on
        tensors that are folded into others."""
        return dict(noise) if self.fold is None else self.fold.noise(base, noise)

    def laid_out(self, x: Inputs) -> Inputs:
        """Inputs (n, ...) as `skeleton` takes them fastest."""
        return map_tensors(x, _flat) if self.channels_last else x

    def _run(self, ready: Chip, x: Inputs) -> Any:
        """Smaller inputs than seen before, the rest of a split, do not pay for a compilation."""
        if self._compiled is None or numel(x) < self._compiled_elements:
            return outputs(self.skeleton, ready, x)
        # torch.compile wraps the module and puts its own name in front.
        inner = Chip({f"_orig_mod.{name}": tensor for name, tensor in ready.state.items()})
        try:
            result = outputs(self._compiled, inner, x)
        except ValueError as error:
            outputs(self.skeleton, ready, x)  # what the network itself says of such inputs
            raise ValueError(
                f"the network runs but cannot be compiled ({error}): use compiled=False"
            ) from error
        self._compiled_elements = numel(x)
        return result

    def _can_be_flat(self, state: State, example: Inputs) -> bool:
        """Has the network 2-d convolutions, and does all of it take their outputs channels last?
        (A `view` of activations does not.)"""
        is_image = any(tensor.dim() == 4 for tensor in tensors(example))
        device = device_of_inputs(example)
        if not self._flat or not is_image or device.type not in ("cpu", "cuda"):
            return False

        def run(state: State, x: Inputs) -> Any:
            ready = dict(state) if self.fold is None else self.fold.state(state)
            _flatten_(ready, self._flat)
            return outputs(self.skeleton, Chip(ready), map_tensors(x, _flat))

        return probe_of(self._whole, state, example).agrees(run)


def _compiled(skeleton: nn.Module) -> nn.Module:
    """`skeleton` compiled for fixed shapes; tensors that replace its own are inputs of the graph,
    so that chips share one compilation."""
    module = torch.compile(skeleton, dynamic=False)
    assert isinstance(module, nn.Module)
    return module


def _flat_kernels(skeleton: nn.Module, state: State) -> list[str]:
    """The kernels of 2-d convolutions, by name."""
    maps = linear_maps(skeleton).values()
    kinds = (Kind.CONVOLUTION, Kind.TRANSPOSED)
    return [m.weight for m in maps if m.layer and m.kind in kinds and state[m.weight].dim() == 4]


def _flatten_(state: State, names: list[str]) -> None:
    """Lay the named tensors out channels last, one by one: each old one goes before the next."""
    for name in names:
        # A tied kernel stands in the state under its first name alone.
        if name in state:
            state[name] = _flat(state[name])


def _as_float(value: Any, dtype: torch.dtype) -> Any:
    """A tensor of floats in `dtype`; anything else as it is."""
    is_float = isinstance(value, Tensor) and value.is_floating_point()
    return value.to(dtype) if is_float else value


def _flat(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x
