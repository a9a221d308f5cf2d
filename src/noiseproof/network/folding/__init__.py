"""Batch normalisation folded into the layer in front of it: fewer passes over the activations.

In evaluation mode a batch normalisation is one multiplier and one shift per channel. Where it
takes exactly the output of a convolution or a linear layer, and nothing else does, both go into
that layer's kernel and bias. `fold_of` finds such pairs in any network by running it.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from noiseproof.core.inputs import Inputs
from noiseproof.network.chip import Chip, outputs
from noiseproof.network.folding.pairs import Pair, pairs_of, shared_copy
from noiseproof.network.folding.probe import Probe, probe_of
from noiseproof.network.state import State

__all__ = ["Fold", "Pair", "Probe", "fold_of", "fold_with", "probe_of", "shared_copy"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Fold:
    """A network whose pairs are folded. `skeleton` has nn.Identity in place of each norm and a
    bias in each of their layers; it takes the states that `state` makes."""

    skeleton: nn.Module
    pairs: tuple[Pair, ...]

    def state(self, state: Mapping[str, Tensor]) -> State:
        """The state of `skeleton` that does what `state` does in the network itself, but for
        rounding. Kernels and biases of the pairs are new tensors, all others are shared."""
        # Made anew for every chip: noise on the kernel is multiplied by the scale as the kernel is,
        # which is what the two layers would do with it one after the other.
        left_out = self.norm_tensors
        folded = {name: tensor for name, tensor in state.items() if name not in left_out}
        for pair in self.pairs:
            kernel, scale = state[pair.kernel], pair.scale(state)
            folded[pair.kernel] = pair.scaled(kernel, scale)
            # Statistics are often float32 beside a half-precision kernel;
            # the bias has to be as the kernel.
            folded[pair.bias] = pair.shift(state, scale).to(kernel.dtype)
        return folded

    def noise(self, base: Mapping[str, Tensor], noise: Mapping[str, Tensor]) -> State:
        """Additive noise on the whole network as noise on `skeleton`: `state(base)` plus this is
        `state` of base plus noise, but for rounding. What is in no pair is shared.

        Raises:
            ValueError: for noise on a folded normalisation, which is not additive any more.
        """
        wrong = sorted(self.norm_tensors & noise.keys())
        if wrong:
            raise ValueError(
                "noise must leave folded normalisation layers alone, got noise on "
                f"{wrong[0]!r}: run the network unfolded"
            )
        folded = dict(noise)
        for pair in self.pairs:
            # The same with noise, which leaves the normalisation alone: so the
            # noise only scales with the kernel.
            scale = pair.scale(base)
            for name in {pair.kernel, pair.bias} & noise.keys():
                as_kernel = pair.scaled if name == pair.kernel else torch.mul
                folded[name] = as_kernel(noise[name], scale.to(noise[name]))
        return folded

    def without(self, products: Collection[str], skeleton: nn.Module) -> "Fold | None":
        """What may be folded in `skeleton`, the network that was folded, on a chip with something
        at these products: a converter between a kernel and its normalisation does not commute
        with a scale of the kernel, so those stay two layers. None where nothing is left."""
        # Each pair folds by itself, so a part of those that agree together agrees too.
        kept = [pair for pair in self.pairs if pair.layer not in products]
        if len(kept) == len(self.pairs):
            return self
        return fold_with(skeleton, kept) if kept else None

    @property
    def norm_tensors(self) -> set[str]:
        """The tensors of the folded normalisation layers."""
        return {name for pair in self.pairs for name in pair.norm_tensors}


def fold_of(skeleton: nn.Module, state: Mapping[str, Tensor], example: Inputs) -> Fold | None:
    """How `skeleton` folds, found on the inputs `example` (N, ...), two are enough; None where it
    does not. `skeleton` and `state` are left as they are.

    A pair is a plain convolution or linear layer and a batch normalisation in evaluation mode,
    without hooks or tied tensors, each called once, with the layer's output read by the
    normalisation alone. All that is folded is checked: on a random state the outputs agree.
    A part of the network that `example` does not reach is left alone.

    Raises:
        ValueError: where the network cannot take such inputs.
    """
    found = pairs_of(skeleton, state, example)
    if not found:
        return None
    probe = probe_of(skeleton, state, example)
    kept = _agreeing(found, lambda pairs: _agrees(probe, fold_with(skeleton, pairs)))
    return fold_with(skeleton, kept) if kept else None


def fold_with(skeleton: nn.Module, pairs: Sequence[Pair]) -> Fold:
    """The fold of exactly these pairs, unchecked. Tensors are shared with `skeleton`."""
    folded = shared_copy(skeleton)
    for pair in pairs:
        layer = folded.get_submodule(pair.layer)
        # The folded state has a bias for it, and functional_call takes tensors for what is there.
        if layer.bias is None:
            like = layer.weight
            assert isinstance(like, Tensor)
            zeros = torch.zeros(pair.channels, dtype=like.dtype, device=like.device)
            layer.bias = nn.Parameter(zeros, requires_grad=False)
        parent, _, own = pair.norm.rpartition(".")
        # Not deleted: the forward of the network still calls it by its name.
        folded.get_submodule(parent)._modules[own] = nn.Identity()
    return Fold(skeleton=folded, pairs=tuple(pairs))


def _agrees(probe: Probe, fold: Fold) -> bool:
    return probe.agrees(lambda state, x: outputs(fold.skeleton, Chip(fold.state(state)), x))


def _agreeing(pairs: Sequence[Pair], agree: Callable[[Sequence[Pair]], bool]) -> Sequence[Pair]:
    """`pairs` without those that break the agreement, found by halving; none where the rest
    still disagree together."""
    if agree(pairs):
        return pairs
    if len(pairs) == 1:
        return ()
    # One bad pair among n is found in a multiple of log2(n) probes.
    half = len(pairs) // 2
    kept = [*_agreeing(pairs[:half], agree), *_agreeing(pairs[half:], agree)]
    # Each half was right beside an unfolded rest; that the two are right together is not implied.
    return kept if kept and agree(kept) else ()
