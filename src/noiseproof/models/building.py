"""Networks by name: CIFAR ResNets and VGGs, small detectors and segmenters, torchvision's, timm's
classifiers, the user's own.

`build("resnet20", norm="none")` gives a network that is ready to train; the same call gives the
skeleton that its weights load into.
"""

import difflib
import importlib
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from torchvision import models

from noiseproof.core.plugins import call_named
from noiseproof.core.rng import seeded
from noiseproof.models import cifar, detectors, segmenters
from noiseproof.models.backbones import Residual
from noiseproof.models.cifar import BasicBlock, CifarResNet, CifarVGG
from noiseproof.network import chosen, norm_layers, replace_norms
from noiseproof.specs import DETECTORS, SEGMENTERS, check_model

BUILDERS: dict[str, Callable[[int, int], nn.Module]] = {  # (classes, channels) -> model
    **{f"resnet{6 * n + 2}": partial(cifar.resnet, n) for n in (1, 2, 3, 5, 7, 9, 18)},
    **{name: partial(cifar.vgg, name) for name in cifar.VGG_STAGES},
    "vgg16_x0_25": partial(cifar.vgg, "vgg16", width=0.25),
    "mobilenet_v2": cifar.mobilenet_v2,
    "mobilenet_v2_x0_5": partial(cifar.mobilenet_v2, width=0.5),
    "shufflenet_v2": cifar.shufflenet_v2,
    "densenet40": cifar.densenet40,
}
SCENE_BUILDERS: dict[str, Callable[[int], nn.Module]] = {  # (classes) -> model
    **{name: getattr(detectors, name) for name in DETECTORS},
    **{name: getattr(segmenters, name) for name in SEGMENTERS},
}

# --- any model by name --------------------------------------------------------------------------


def build(
    name: str,
    *,
    norm: str | None = None,
    where: str = "all",
    classes: int = 10,
    channels: int = 3,
    seed: int = 0,
    auxiliary: bool = False,
) -> nn.Module:
    """The model `name`, freshly initialised from `seed`, with the normalisation `norm`.

    Where a normalisation behind a convolution is removed, the convolution gets the bias that the
    normalisation would have carried, and the initialisation accounts for it.

    - `name`: one of `noiseproof info models`, or of torchvision's, timm's, your own.
    - `norm`: None keeps the model's own.
    - `where`: the part of the normalisation layers that is changed (see `norms.chosen`).
    - `classes`: the network's outputs, a detector's background included.
    - `channels`: of the images; a model that says so itself keeps its own.
    - `seed`: names the initial weights.
    - `auxiliary`: torchvision's segmenters get the second head that they are trained with.

    Raises:
        ValueError: for an unknown name, or a model of one's own that cannot be imported.
    """
    # Initialisers take no generator; the default ones are put back afterwards.
    with seeded(seed, "init"):
        model = _make(check_model(name), classes, channels, auxiliary)
        if isinstance(model, CifarResNet | CifarVGG):
            _initialise_(model)
        if norm is not None:
            # Read off before they are replaced: an Identity tells nothing.
            removed = chosen(list(norm_layers(model)), where) if norm == "none" else []
            model = replace_norms(model, norm, where=where)
            _live_without_norm_(model, removed)
    return model


def _make(name: str, classes: int, channels: int, auxiliary: bool) -> nn.Module:
    if name in BUILDERS:
        return BUILDERS[name](classes, channels)
    if name in SCENE_BUILDERS:
        return SCENE_BUILDERS[name](classes)
    source, _, rest = name.partition(":")
    if source == "torchvision":
        return _torchvision(rest, classes, auxiliary)
    if source == "timm":
        return _timm(rest, classes, channels)
    model = call_named(name)
    if not isinstance(model, nn.Module):
        raise ValueError(f"{name} must return an nn.Module, got {type(model).__name__}")
    return model


def _torchvision(name: str, classes: int, auxiliary: bool) -> nn.Module:
    rooms = (models, models.detection, models.segmentation)
    known = [name for room in rooms for name in models.list_models(module=room)]
    if name not in known:
        near = ", ".join(difflib.get_close_matches(name, known)) or "torchvision's own names"
        raise ValueError(f"unknown torchvision model {name!r}: expected one like {near}")
    options: dict[str, Any] = {}
    if name in ("googlenet", "inception_v3"):
        options["init_weights"] = True
    if name not in models.list_models(module=models):
        options["weights_backbone"] = None
    if auxiliary and name in models.list_models(module=models.segmentation):
        options["aux_loss"] = True
    model: nn.Module = models.get_model(name, weights=None, num_classes=classes, **options)
    return model


def _timm(name: str, classes: int, channels: int) -> nn.Module:
    try:
        timm = importlib.import_module("timm")
    except ImportError:
        raise ValueError("timm is not installed: run `pip install timm`") from None
    try:
        model: nn.Module = timm.create_model(name, num_classes=classes, in_chans=channels)
    except RuntimeError as error:
        raise ValueError(f"timm cannot make {name!r}: {error}") from None
    return model


# --- initialisation -----------------------------------------------------------------------------


def _initialise_(model: nn.Module) -> None:
    """He et al. 2015 (Delving deep into rectifiers): normal, variance 2 / fan-out."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def _live_without_norm_(model: nn.Module, removed: list[str]) -> None:
    """Prepare a model for training without the normalisation layers named in `removed`.

    Each convolution in front of one gets a bias. In a residual block whose last normalisation is
    gone the branch is scaled by (number of such blocks)^-1/2, through its last convolution, so that
    the variance of the sum stays of order one at any depth: what BatchNorm does at the start of
    training, and what SkipInit does with a multiplier of its own (De and Smith 2020).
    """
    for name in removed:
        convolution = _convolution_before(model, name)
        if convolution is not None and convolution.bias is None:
            convolution.bias = nn.Parameter(torch.zeros(convolution.out_channels))
    blocks = [module for module in model.modules() if isinstance(module, BasicBlock | Residual)]
    bare = [block for block in blocks if isinstance(block.bn2, nn.Identity)]
    with torch.no_grad():
        for block in bare:
            # .8122 after 10 epochs, where branches that start at zero (Fixup's rule) reach
            # .7505 (measured: LOG.md, 2026-11-21).
            block.conv2.weight.mul_(1 / math.sqrt(len(bare)))


def _convolution_before(model: nn.Module, norm: str) -> nn.Conv2d | None:
    """The convolution that stands directly in front of the layer `norm` in its container."""
    parent, _, own = norm.rpartition(".")
    before: nn.Module | None = None
    for name, child in model.get_submodule(parent).named_children():
        if name == own:
            return before if isinstance(before, nn.Conv2d) else None
        before = child
    return None
