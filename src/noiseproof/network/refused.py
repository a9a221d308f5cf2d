"""Models that cannot be measured, each in one sentence with what to give instead."""

import torch
from torch import nn


def check_module(model: object) -> None:
    """Raise ValueError for what is no module whose weights are there as floating-point tensors."""
    if isinstance(model, torch.jit.ScriptModule):
        raise ValueError(
            "the model must be an nn.Module, got TorchScript, which hides its layers: give the "
            "module that it was made from, with its weights"
        )
    if not isinstance(model, nn.Module):
        kind = "a function" if callable(model) and not isinstance(model, type) else "a class"
        what = kind if callable(model) else type(model).__name__
        remedy = (
            "call it first"
            if isinstance(model, type)
            else "give the module whose weights it uses, or an nn.Module with them as its layers"
        )
        raise ValueError(f"the model must be an nn.Module, got {what}: {remedy}")
    whole = [
        type(module).__name__
        for module in model.modules()
        if type(module).__module__.startswith("torch.") and ".quantized" in type(module).__module__
    ]
    if whole:
        raise ValueError(
            f"the model must have floating-point weights, got int8 layers ({whole[0]}): give the "
            "network before its conversion, and 'quantize(bits=8) + ...' as the noise"
        )
