"""Noise of the user's own: a function (w, generator, level) -> w, named or given.

Only a text that its user writes names code that runs; what is read from stores, cards and studies
is a name and nothing else.
"""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import Generator, Tensor

from noiseproof.core.plugins import code_of, named
from noiseproof.core.rng import stream
from noiseproof.hardware import find_device
from noiseproof.specs import OnDevices, Own, Spec, Stage

SHOWN = 64, 9
"""Outputs and inputs of the kernel that shows what a function computes."""
SHOWN_LEVEL = 0.5


def own_noise(stage: Own, w: Tensor, r: Tensor, g: Generator) -> Tensor:
    """What the user's function makes of w, of which it gets a copy; in its dtype, on its device.

    Raises:
        ValueError: where it fails, or returns anything but a finite tensor of the same shape.
    """
    function = stage.call or _named(stage.function)
    try:
        found = function(w.clone(), g, stage.level)
    except Exception as error:  # whatever the user's own function does
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"the noise {stage.function} failed: {reason}") from error
    if not isinstance(found, Tensor) or found.shape != w.shape:
        shown = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise ValueError(
            f"the noise {stage.function} must return a tensor {tuple(w.shape)}, got {shown}"
        )
    found = found.detach().to(w)
    if not found.isfinite().all():
        raise ValueError(f"the noise {stage.function} must return finite numbers, got others")
    return found


def resolved(spec: Spec) -> Spec:
    """The spec with the code of each noise of one's own in its text, so that the rows of a function
    that is changed later have another name.

    Raises:
        ValueError: for functions that there are not, or whose code is not the one in the text.
    """
    stages: list[Stage] = []
    for stage in spec.stages:
        if isinstance(stage, OnDevices):
            stage = _with_file(stage)
        if isinstance(stage, Own):
            code = _fingerprint(stage)
            if stage.code not in ("", code):
                raise ValueError(
                    f"the noise {stage.function} is not the one of code {stage.code} any more, but "
                    f"{code}: leave code out to measure it as it is"
                )
            stage = replace(stage, code=code)
        stages.append(stage)
    return replace(spec, stages=tuple(stages))


def _with_file(stage: OnDevices) -> OnDevices:
    """The stage with what a device file of one's own holds in its text, in place of its path."""
    path = stage.path or stage.device
    device = find_device(path)
    device.check_time(stage.seconds)
    if not path.endswith(".toml"):
        return stage
    file = f"f{device.digest}"
    if stage.file not in ("", file):
        raise ValueError(
            f"the device {path} is not the one of file {stage.file} any more, but {file}: leave "
            "file out to measure it as it is"
        )
    return replace(stage, device=device.name, file=file, path=path)


@cache
def _named(name: str) -> Callable[..., Any]:
    return named(name)


def _fingerprint(stage: Own) -> str:
    """A word for the function's code, and for what it makes of a fixed kernel at a fixed level:
    what it takes from outside is not in its code."""
    function = stage.call or _named(stage.function)
    outputs, inputs = SHOWN
    w = torch.linspace(-1, 1, outputs * inputs).reshape(SHOWN)
    shown = replace(stage, level=SHOWN_LEVEL)
    made = own_noise(shown, w, torch.ones(()), stream(0, "noise of one's own"))
    # Rounded, since devices and versions differ in the last digits; rounding off the edge of a
    # digit would only measure anew.
    text = f"{code_of(function)} {[round(value, 3) for value in made.flatten().tolist()]}"
    return f"c{hashlib.sha256(text.encode()).hexdigest()[:8]}"
