"""How a network lies on the chip: the form of its running statistics, and their eps."""

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from noiseproof.core.checks import NoEffectWarning
from noiseproof.network.norms import scale_kind
from noiseproof.network.state import Place, State
from noiseproof.network.statistics import Statistic
from noiseproof.specs import OWN_FORMS, Stored


def stored_as(places: Mapping[str, Place], skeleton: nn.Module, form: str) -> dict[str, Place]:
    """`places` with how the running variances are stored: by `form`, a key of `specs.FORMS`.

    Raises:
        ValueError: for a layer without a gamma, which could not take a sign.
    """
    names = {id(tensor): name for name, tensor in _tensors(skeleton).items()}
    found = dict(places)
    for prefix, layer in _layers(skeleton).items():
        kind = OWN_FORMS[scale_kind(layer)] if form == "own" else form
        if kind == "variance":
            continue
        gamma = getattr(layer, "weight", None)
        if gamma is None:
            raise ValueError(
                f"stats_as {form} needs a gamma, which takes the sign that noise may turn, and "
                f"layer {prefix!r} has none: store its variance"
            )
        name = names[id(layer.running_var)]
        statistic = Statistic(form=kind, eps=float(cast(float, layer.eps)), gamma=names[id(gamma)])
        found[name] = replace(places[name], statistic=statistic)
    return found


def read_back(
    noisy: Mapping[str, Tensor], clean: Mapping[str, Tensor], places: Mapping[str, Place]
) -> State:
    """What the network computes with where `noisy` holds what is stored: variances, and gammas
    with the signs. What no noise has changed is `clean`, to the last bit."""
    found = dict(noisy)
    for name, tensor in noisy.items():
        statistic = places[name].statistic
        if statistic is None:
            continue
        variance = clean[name].cpu()
        same = tensor == statistic.stored(variance).to(tensor)
        found[name] = torch.where(same, variance, statistic.variance(tensor).to(variance))
        if bool((tensor < 0).any()):
            gamma = found.get(statistic.gamma, clean[statistic.gamma].cpu())
            found[statistic.gamma] = torch.where(tensor < 0, -gamma, gamma)
    return found


def set_eps_(skeleton: nn.Module, stored: Stored) -> None:
    """Write the eps that was asked for into every layer with running statistics.

    Warns:
        NoEffectWarning: where there is none.
    """
    if stored.eps is None:
        return
    layers = _layers(skeleton)
    if not layers:
        warnings.warn(
            f"eps={stored.eps:g} changes nothing: no layer of the {type(skeleton).__name__} has "
            "running statistics",
            NoEffectWarning,
            stacklevel=2,
        )
    for layer in layers.values():
        layer.eps = stored.eps  # type: ignore[assignment]


def _layers(skeleton: nn.Module) -> dict[str, nn.Module]:
    """The layers with a running variance, by name."""
    return {
        name: module
        for name, module in skeleton.named_modules()
        if getattr(module, "running_var", None) is not None and hasattr(module, "eps")
    }


def _tensors(skeleton: nn.Module) -> dict[str, Tensor]:
    # Not `state_of`, whose tensors are detached, other objects each time.
    return dict((*skeleton.named_parameters(), *skeleton.named_buffers()))
