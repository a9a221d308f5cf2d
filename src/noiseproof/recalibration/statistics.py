"""Recalibrate a noisy chip on unlabelled images: no label, no gradient, no knowledge of the noise.

`recalibrate` takes modules, `calibrated` a skeleton and a chip; each estimator is a function of
its own. Pooled, layerwise and blended statistics re-estimate the mean and the scale that each batch
normalisation layer's input has on this chip (Tsai et al. 2020; Joshi et al. 2020; for blending
Schneider et al. 2020). Matching is in `matching`, and what follows the test batches in `following`.
"""

import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from torch import Tensor, nn

from noiseproof.core.checks import NoEffectWarning
from noiseproof.core.device import device_of
from noiseproof.core.inputs import Inputs, count, parts, rows, to
from noiseproof.data import ready_inputs, scaled
from noiseproof.network import (
    Chip,
    Moments,
    StopForward,
    check_module,
    dtype_of,
    joined,
    mixed,
    moments_of,
    outputs,
    scale_kind,
    skeleton_of,
    state_of,
    with_state,
)
from noiseproof.recalibration.affine import matched_maps, with_biases
from noiseproof.recalibration.following import followed
from noiseproof.recalibration.matching import Signature, matched, signature_of
from noiseproof.recalibration.running_stats import batches_of, held, private, put_, watching
from noiseproof.recalibration.running_stats import running_layers as running_layers
from noiseproof.specs import (
    UNSCALED,
    Batch,
    Blend,
    Ema,
    Estimator,
    Layerwise,
    Match,
    Pooled,
    parse_estimator,
)

M = TypeVar("M", bound=nn.Module)


def recalibrate(
    model: M,
    data: object,
    *,
    estimator: Estimator | str | None = None,
    clean: nn.Module | None = None,
    batch_size: int | None = None,
) -> M:
    """A copy of `model` that is recalibrated on the inputs in `data`.

    With `match` the copy has a bias, with gradients as its weight, in every convolution and linear
    layer. All else carries over, the mode of every submodule included; `model` is left as it is.

    - `data`: inputs as the model takes them, a tensor or array, or a tuple or dict of them that it
      gets as positional or keyword arguments; or a Split, a Dataset or a DataLoader, whose labels
      are left out. For `ema` and `batch` they are the stream
      that passes in batches, and the copy is what the last one leaves (to score while they pass,
      see `following`).
    - `estimator`: a value or its text form, as `layerwise(200)`; it uses as many images as it says,
      from the first on (default: the batch statistics pooled over all of them).
    - `clean`: the model that the chip was made from; `match` needs it.
    - `batch_size`: images that run at once (default: as many as fit).

    Raises:
        ValueError: without images, or with fewer than the estimator uses; for `match` without
            `clean`.
    Warns:
        NoEffectWarning: when the model has nothing to recalibrate, or the estimator is `off`.
    """
    check_module(model)
    wanted = parse_estimator(estimator) if isinstance(estimator, str) else estimator
    most = None if wanted is None else wanted.calibration_images or None
    images = scaled(ready_inputs(data, most), UNSCALED, dtype=dtype_of(state_of(model)))
    chosen = _chosen(estimator, images)
    # Matching needs no normalisation layer; everything else has nowhere to write without one.
    found = matched_maps(model) if isinstance(chosen, Match) else running_layers(model)
    if chosen is None or not found:
        what = "analog layers" if isinstance(chosen, Match) else "running statistics"
        reason = f"this {type(model).__name__} has no {what} to recalibrate"
        reason = "recalibration is off" if chosen is None else reason
        warnings.warn(reason, NoEffectWarning, stacklevel=2)
        return with_state(model, {})
    # 0 for the estimators that follow a stream: they take all that comes.
    used = rows(images, slice(0, chosen.calibration_images or count(images)))
    if isinstance(chosen, Match):
        if clean is None:
            raise ValueError("match needs the clean model: recalibrate(..., clean=model)")
        return _matched_module(model, used, clean, batch_size=batch_size)
    state = state_of(model)
    there = to(used, device_of(state))
    fixed = calibrated(skeleton_of(model), Chip(state), there, chosen, batch_size=batch_size)
    return with_state(model, fixed.state)


def _chosen(estimator: Estimator | str | None, images: Inputs) -> Estimator | None:
    """The estimator that is meant, if it fits the images; None for `off`."""
    n = count(images)
    if n == 0:
        raise ValueError("recalibration needs at least 1 image, got 0")
    if estimator is None:
        return Pooled(images=n)
    chosen = parse_estimator(estimator) if isinstance(estimator, str) else estimator
    if chosen is None:
        return None
    if chosen.calibration_images > n:
        raise ValueError(f"{chosen} needs {chosen.calibration_images} calibration images, got {n}")
    return chosen


def _matched_module(model: M, images: Inputs, clean: nn.Module, *, batch_size: int | None) -> M:
    """A copy of `model` with biases, matched to `clean`."""
    # Before biases are added, which would hide a layer that has one on one side only.
    shapes, clean_shapes = (
        {name: tensor.shape for name, tensor in state_of(one).items()} for one in (model, clean)
    )
    if shapes != clean_shapes:
        name = next(n for n in {**shapes, **clean_shapes} if shapes.get(n) != clean_shapes.get(n))
        raise ValueError(f"the clean model must have the layers of the chip: {name!r} differs")
    biased = with_biases(model)
    state = state_of(biased)
    there = to(images, device_of(state))
    # Moved in place, which is why it is the private copy and not `clean`.
    skeleton = skeleton_of(clean).to(device_of(state))
    clean_chip = Chip(state_of(skeleton))
    signature = signature_of(skeleton, clean_chip, there, batch_size=batch_size)
    fixed = matched(skeleton_of(biased), Chip(state), there, signature, batch_size=batch_size)
    return with_state(biased, fixed.state)


def calibrated(
    skeleton: nn.Module,
    chip: Chip,
    images: Inputs,
    estimator: Estimator,
    *,
    signature: Signature | None = None,
    batch_size: int | None = None,
) -> Chip:
    """`chip` recalibrated by `estimator` on `images` (N, ...), which are the N it asks for; for
    `ema` and `batch` a stream of any length.

    For `match`, `signature` is that of the clean network on the same images (`signature_of`), and
    `skeleton` and `chip` have a bias in every analog layer (`with_biases`, `with_bias_zeros`).
    `batch_size`: how many images run at once; None is as many as fit. `skeleton` is a private copy
    (`skeleton_of`); it carries hooks for the length of the call.

    Raises:
        ValueError: for `match` without a signature.
    """
    match estimator:
        case Pooled(batch=batch):
            return recalibrated(skeleton, chip, images, batch_size=batch_size or batch)
        case Layerwise():
            return layerwise(skeleton, chip, images, batch_size=batch_size)
        case Blend(prior=prior):
            return blended(skeleton, chip, images, prior=prior, batch_size=batch_size)
        case Match():
            if signature is None:
                raise ValueError(f"{estimator} needs the clean network's signature, got None")
            return matched(skeleton, chip, images, signature, batch_size=batch_size)
        case Ema(batch=batch) | Batch(batch=batch):
            return followed(skeleton, chip, parts(images, batch), estimator)


def recalibrated(
    skeleton: nn.Module,
    chip: Chip,
    images: Inputs,
    *,
    batch_size: int | None = None,
) -> Chip:
    """`chip` with the pooled statistics of `images` (N, ...) in every batch normalisation layer.

    One forward pass in evaluation mode (dropout off). Each layer's statistics are set just before
    the layer runs, so every layer sees inputs that are already corrected upstream: with all images
    in one batch this is the exact pooled mean and scale of each layer's input. Where they do not
    fit (see `batches_of`), they run in equal batches in a fixed random order, each normalised with
    its own statistics, and the batches' statistics are pooled, weighted by their sizes.
    A layer that does not run (an auxiliary head) keeps what it has.
    `skeleton` is a private copy (`skeleton_of`); it carries hooks for the length of the call.
    """
    batches = batches_of(images, batch_size)
    return _one_pass(skeleton, chip, batches, lambda name, kind, new: new)


def blended(
    skeleton: nn.Module,
    chip: Chip,
    images: Inputs,
    *,
    prior: int,
    batch_size: int | None = None,
) -> Chip:
    """As `recalibrated`, with the statistics on `chip` counted as `prior` images beside the N.

    With w = N / (prior + N): mean = (1-w) old + w new, and the variance is that of all values
    together, (1-w) old + w new + w (1-w) (new mean - old mean)^2; Schneider et al. 2020,
    "Improving robustness against common corruptions by covariate shift adaptation", leave the last
    term out. Other scale estimates have no such term. Each layer runs with its blended statistics.
    """
    share = count(images) / (prior + count(images))

    def settled(name: str, kind: str, new: Moments) -> Moments:
        # From `chip`: what the pass writes goes elsewhere, so the
        # prior stays the prior at every batch.
        return mixed(held(chip.state, name), new, share=share, kind=kind)

    return _one_pass(skeleton, chip, batches_of(images, batch_size), settled)


def _one_pass(
    skeleton: nn.Module,
    chip: Chip,
    batches: list[Inputs],
    settled: Callable[[str, str, Moments], Moments],
) -> Chip:
    """Every layer gets `settled(name, kind, moments of its input)`: each call's own during the
    pass, those of all calls together at its end."""
    layers = running_layers(skeleton)
    kinds = {name: scale_kind(module) for name, module in layers.items()}
    fresh = replace(chip, state=private(chip.state, layers))
    pools: dict[str, Moments] = {}

    def see(name: str, x: Tensor) -> None:
        kind = kinds[name]
        new = moments_of(x, kind=kind)
        # Pooled while they come, each weighing by its values: no batch's moments need be held.
        pools[name] = joined([pools[name], new], kind=kind) if name in pools else new
        # This call's own statistics, before the layer runs: the layers behind see corrected inputs.
        put_(fresh.state, name, settled(name, kind, new))

    with watching(layers, see):
        for batch in batches:
            outputs(skeleton, fresh, batch)
    # What remains from the pass is that of the last call; the chip gets that of all.
    for name, pool in pools.items():
        put_(fresh.state, name, settled(name, kinds[name], pool))
    return fresh


def layerwise(
    skeleton: nn.Module,
    chip: Chip,
    images: Inputs,
    *,
    batch_size: int | None = None,
) -> Chip:
    """`chip` with each layer's statistics from inputs that are exactly corrected upstream.

    Layer after layer in order of execution: all batches run up to the layer, with the final
    statistics of the layers before it, and its statistics are pooled over all batches and all its
    calls. So the batches make no difference for plain batch normalisation; the other scale
    estimates are taken per batch and pooled, as in `recalibrated`. Where all images are one batch
    and no layer runs twice, `recalibrated` does the same in one pass, and is used. A layer that
    does not run keeps what it has.
    """
    batches = batches_of(images, batch_size)
    layers = running_layers(skeleton)
    calls: Counter[str] = Counter()  # in order of execution
    # One pass for three answers: which layers run, in which order (a Counter keeps it), how often.
    with watching(layers, lambda name, x: calls.update([name])):
        once = recalibrated(skeleton, chip, batches[0], batch_size=count(batches[0]))
    # In a layer that runs twice a pass corrects the first call with
    # the first call's statistics alone.
    if len(batches) == 1 and set(calls.values()) <= {1}:
        return once
    fresh = replace(chip, state=private(chip.state, layers))
    for name, times in calls.items():
        seen = [
            moments
            for batch in batches
            for moments in _inputs_seen(skeleton, fresh, batch, name, layers[name], times)
        ]
        # Final from here on: the passes for later layers run with it.
        put_(fresh.state, name, joined(seen, kind=scale_kind(layers[name])))
    return fresh


def _inputs_seen(
    skeleton: nn.Module, chip: Chip, batch: Inputs, name: str, layer: nn.Module, times: int
) -> list[Moments]:
    """The moments of a layer's inputs, up to its call number `times`, where the pass ends."""
    seen: list[Moments] = []

    def see(name: str, x: Tensor) -> None:
        seen.append(moments_of(x, kind=scale_kind(layer)))
        if len(seen) == times:
            # What lies behind the layer cannot change its inputs.
            raise StopForward

    with watching({name: layer}, see), suppress(StopForward):
        outputs(skeleton, chip, batch)
    return seen
