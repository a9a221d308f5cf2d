"""Match every analog layer's output to the clean network's, channel by channel.

Noise in the weights of a layer shifts and stretches each of its output channels. The affine map
that gives a channel back the mean and the standard deviation that it has on the clean network
needs no normalisation layer to write it into: here it is folded into the layer's own weight and
bias (on hardware it is a digital scale and offset behind the converter of each column). It needs
the clean network on the same unlabelled images, once, and without noise it changes nothing.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from noiseproof.core.inputs import Inputs, count
from noiseproof.network import Chip, Kind, LinearMap, Moments, State, joined, moments_of, outputs
from noiseproof.recalibration.affine import Affine, applied, corrected, folded, matched_maps
from noiseproof.recalibration.running_stats import batches_of

# Below so many rounding steps of its size a channel is constant; an exact test for zero turned
# rounding into gains of ten million (measured: LOG.md, 2026-11-21).
ROUNDING = 16 * torch.finfo(torch.float32).eps


@dataclass(frozen=True, kw_only=True, eq=False)
class Signature:
    """What flows out of each matched linear map of the clean network: per batch of the calibration
    images, per map, the moments (C,) of each call."""

    images: int
    batches: tuple[Mapping[str, Sequence[Moments]], ...]


# --- tapping a pass ------------------------------------------------------------------------------

See = Callable[[str, Moments], Affine | None]


@contextmanager
def _tapped(skeleton: nn.Module, state: State, live: State, see: See) -> Iterator[None]:
    """Inside the block `see(map, moments of its output)` is called as each layer runs, and the
    output that later layers get is corrected by the affine that it returns, if any.

    The network runs with `live`, which has input projections of its own; those of `state` are the
    chip's, so that a correction written into `live` does not add to the one before.
    """
    hooks = []
    for name, one in matched_maps(skeleton).items():
        layer = skeleton.get_submodule(one.layer)
        # What a forward hook returns takes the output's place, and None leaves it.
        if one.kind != Kind.ATTENTION:
            hooks.append(layer.register_forward_hook(partial(_after, see, name, one.axis)))
        # The output projection: torch calls its function, never the
        # module, so the attention is tapped.
        elif not one.inside:
            hooks.append(layer.register_forward_hook(partial(_after_attention, see, name)))
        else:
            before = partial(_before_attention, see, name, one, state, live)
            hooks.append(layer.register_forward_pre_hook(before, with_kwargs=True))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _after(see: See, name: str, axis: int, module: nn.Module, args: object, y: Tensor) -> Tensor:
    # A detector's head without a proposal has no moments.
    if not y.numel():
        return y
    affine = see(name, moments_of(_rows(y, axis)))
    return y if affine is None else applied(affine, y, axis)


def _after_attention(
    see: See, name: str, module: nn.Module, args: object, y: tuple[Tensor, Tensor | None]
) -> tuple[Tensor, Tensor | None]:
    return _after(see, name, -1, module, args, y[0]), y[1]


def _before_attention(
    see: See,
    name: str,
    one: LinearMap,
    state: State,
    live: State,
    module: nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> None:
    """The input projection happens inside the layer, out of a hook's reach: it is computed here
    beside it, and its correction written into the weights that the layer is about to use."""
    # Not strict: masks may follow the three inputs as positional arguments.
    given = {**dict(zip(one.inputs, args, strict=False)), **kwargs}
    # Stacked in one tensor (3 E, E) in the order of `inputs`: query, key, value.
    weights = state[one.weight].chunk(3)
    bias = state.get(one.bias or "")
    biases = (None,) * 3 if bias is None else bias.chunk(3)
    parts = [
        moments_of(_rows(F.linear(given[which], weight, offset), -1))
        for which, weight, offset in zip(one.inputs, weights, biases, strict=True)
    ]
    affine = see(
        name,
        Moments(
            # One map of three inputs: its outputs' moments are those of the three in a row.
            values=parts[0].values,  # of the query: all three grow with the number of images
            mean=torch.cat([part.mean for part in parts]),
            var=torch.cat([part.var for part in parts]),
        ),
    )
    # In place: the pass that is running took these tensors of `live` before this hook.
    if affine is not None:
        for key, tensor in folded(state, one, affine).items():
            live[key].copy_(tensor)


def _rows(y: Tensor, axis: int) -> Tensor:
    """y with its channels, on `axis` from the end, moved to axis 1: (N, C, *positions)."""
    y = y if y.dim() > -axis else y[None]  # without a batch
    return y.movedim(axis, 1)


# --- signature and correction --------------------------------------------------------------------


def signature_of(
    skeleton: nn.Module,
    chip: Chip,
    images: Inputs,
    *,
    batch_size: int | None = None,
) -> Signature:
    """The signature of the clean network, `skeleton` on a `chip` without noise, on `images`
    (N, ...): mean and population variance of each output channel. One forward pass."""

    def seen(batch: Inputs) -> Mapping[str, Sequence[Moments]]:
        met: dict[str, list[Moments]] = defaultdict(list)
        # Nothing is written into `live` where `see` returns None, as append does.
        with _tapped(skeleton, chip.state, {}, lambda name, new: met[name].append(new)):
            outputs(skeleton, chip, batch)
        return dict(met)

    parts = batches_of(images, batch_size)
    return Signature(images=count(images), batches=tuple(seen(batch) for batch in parts))


def matched(
    skeleton: nn.Module,
    chip: Chip,
    images: Inputs,
    signature: Signature,
    *,
    batch_size: int | None = None,
) -> Chip:
    """`chip` with the outputs of every layer of `matched_maps` matched to `signature`.

    One forward pass over the images (N, ...) that the signature was taken on, in the same
    batches. While a batch runs, the output of each call of a layer is corrected to the moments of
    the same call on the same batch, so that later layers get corrected inputs; the map that is
    folded in at the end is that of all calls and batches together. With all images in one batch
    and no layer called twice the two are the same, and each channel's mean and standard deviation
    are those of the clean network exactly. A channel that is constant on the chip is only shifted,
    one that is constant on the clean network becomes constant.

    Raises:
        ValueError: where `signature` is of other images or batches, or of another network; where
            a layer has no bias (see `with_biases`).
    """
    batches = batches_of(images, batch_size)
    if (count(images), len(batches)) != (signature.images, len(signature.batches)):
        raise ValueError(
            f"the signature must be of the same images, got {signature.images} images in "
            f"{len(signature.batches)} batches for {count(images)} in {len(batches)}"
        )
    maps = matched_maps(skeleton)
    for name, one in maps.items():
        if one.bias is not None and one.bias not in chip.state:
            raise ValueError(f"layer {name!r} must have a bias to be matched: use with_biases")
    # Only these are written while a batch runs; all else is shared with the caller's chip.
    inner = [key for m in maps.values() if m.inside for key in (m.weight, m.bias or "")]
    live = replace(chip, state=chip.state | {key: chip.state[key].clone() for key in inner})
    met: dict[str, list[Moments]] = defaultdict(list)
    for batch, clean in zip(batches, signature.batches, strict=True):
        for name, moments in _pass(skeleton, chip, live, batch, clean).items():
            met[name] += moments
    fixed = chip
    for name, one in maps.items():
        # A layer that ran on one side only (a detector's second
        # stage) has nothing to be matched to.
        wanted = [moments for clean in signature.batches for moments in clean.get(name, ())]
        if wanted and met[name]:
            # `met` is of outputs before their correction, so that this
            # one goes on the chip's own weights.
            affine = correction(joined(wanted), joined(met[name]))
            fixed = corrected(fixed, name, one, affine)
    return fixed


def _pass(
    skeleton: nn.Module,
    chip: Chip,
    live: Chip,
    batch: Inputs,
    clean: Mapping[str, Sequence[Moments]],
) -> dict[str, list[Moments]]:
    """Run one batch with each output corrected to `clean`; the moments before correction."""
    met: dict[str, list[Moments]] = defaultdict(list)

    def see(name: str, new: Moments) -> Affine | None:
        met[name].append(new)
        calls = clean.get(name)
        if not calls:  # it did not run on the clean network
            return None
        call = len(met[name]) - 1
        # Call by call, since a shared head sees other scales at each level of a
        # pyramid. How often it runs may hang on the data: more calls than on the clean
        # network get the moments of all of them.
        return correction(calls[call] if call < len(calls) else joined(calls), new)

    with _tapped(skeleton, chip.state, live.state, see):
        outputs(skeleton, live, batch)
    return met


def correction(clean: Moments, chip: Moments) -> Affine:
    """The map that takes the mean and standard deviation of `chip` to those of `clean`.

    The gain is 1 where the chip's channel is constant up to rounding: there is nothing to stretch,
    and dividing by what rounding left would blow it up.
    """
    # Root mean square, which rounding is relative to: a channel's mean may be far above its sd.
    size = (chip.var + chip.mean.square()).sqrt()
    constant = chip.var.sqrt() <= ROUNDING * size
    ratio = (clean.var / torch.where(constant, torch.ones_like(chip.var), chip.var)).sqrt()
    gain = torch.where(constant, torch.ones_like(ratio), ratio)
    return Affine(gain=gain, offset=clean.mean - gain * chip.mean)
