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
SHOWN_LEVEL, SHOWN_SECONDS = 0.5, 3600.0


def own_noise(stage: Own, w: Tensor, r: Tensor, g: Generator) -> Tensor:
    """What the user's function makes of w, of which it gets a copy; in its dtype, on its device.

    Raises:
        ValueError: where it fails, or returns anything but a finite tensor of the same shape.
    """
    return _called(stage.call or _named(stage.function), stage.function, w, g, stage.level)


def own_devices(stage: OnDevices, w: Tensor, g: Generator) -> Tensor:
    """What devices of the user's own law, `function(w, generator, seconds) -> w`, make of w
    (outputs, inputs), weights in units of their scale; seconds are None for programming alone.

    Raises:
        ValueError: as `own_noise`.
    """
    return _called(_named(stage.device), stage.device, w, g, stage.seconds)


def _called(
    function: Callable[..., Any], name: str, w: Tensor, g: Generator, value: float | None
) -> Tensor:
    try:
        found = function(w.clone(), g, value)
    except Exception as error:  # whatever the user's own function does
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"the noise {name} failed: {reason}") from error
    if not isinstance(found, Tensor) or found.shape != w.shape:
        shown = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise ValueError(f"the noise {name} must return a tensor {tuple(w.shape)}, got {shown}")
    found = found.detach().to(w)
    if not found.isfinite().all():
        raise ValueError(f"the noise {name} must return finite numbers, got others")
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
            code = _fingerprint(
                stage.call or _named(stage.function), stage.function, value=SHOWN_LEVEL
            )
            if stage.code not in ("", code):
                raise ValueError(
                    f"the noise {stage.function} is not the one of code {stage.code} any more, but "
                    f"{code}: leave code out to measure it as it is"
                )
            stage = replace(stage, code=code)
        stages.append(stage)
    return replace(spec, stages=tuple(stages))


def _with_file(stage: OnDevices) -> OnDevices:
    """The stage with what a device of one's own is in its text: of a file what it holds, in place
    of its path; of a function its code."""
    path = stage.path or stage.device
    if stage.is_function:
        code = _fingerprint(_named(stage.device), stage.device, value=SHOWN_SECONDS)
        return _marked(stage, code)
    device = find_device(path)
    device.check_time(stage.seconds)
    if not path.endswith(".toml"):
        return stage
    marked = _marked(stage, f"f{device.digest}")
    return replace(marked, device=device.name, path=path)


def _marked(stage: OnDevices, file: str) -> OnDevices:
    if stage.file not in ("", file):
        raise ValueError(
            f"the device {stage.path or stage.device} is not the one of file {stage.file} any "
            f"more, but {file}: leave file out to measure it as it is"
        )
    return replace(stage, file=file)


@cache
def _named(name: str) -> Callable[..., Any]:
    return named(name)


def _fingerprint(function: Callable[..., Any], name: str, *, value: float) -> str:
    """A word for the function's code, and for what it makes of a fixed kernel at a fixed level or
    time: what it takes from outside is not in its code."""
    outputs, inputs = SHOWN
    w = torch.linspace(-1, 1, outputs * inputs).reshape(SHOWN)
    made = _called(function, name, w, stream(0, "noise of one's own"), value)
    # Rounded, since devices and versions differ in the last digits; rounding off the edge of a
    # digit would only measure anew.
    text = f"{code_of(function)} {[round(value, 3) for value in made.flatten().tolist()]}"
    return f"c{hashlib.sha256(text.encode()).hexdigest()[:8]}"
