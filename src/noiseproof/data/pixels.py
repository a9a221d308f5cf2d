"""Pixels -> what a network takes."""

from functools import lru_cache

import torch
from torch import Tensor

from noiseproof.core.inputs import I, Inputs, map_tensors, tensors
from noiseproof.specs import PixelScale


def has_pixels(inputs: Inputs) -> bool:
    """Is any of the tensors uint8, which reaches a network by a scale only?"""
    return any(tensor.dtype == torch.uint8 for tensor in tensors(inputs))


def check_scale(inputs: Inputs, scale: PixelScale | None, *, remedy: str) -> None:
    """Raise ValueError for pixels without a scale, and bytes that are no pixels."""
    for tensor in tensors(inputs):
        if tensor.dtype != torch.uint8:
            continue
        if tensor.dim() != 4:
            raise ValueError(
                f"uint8 inputs must be images of pixels (N, C, H, W), got {tuple(tensor.shape)}: "
                "give token ids as int64 (x.long()), other numbers as float32"
            )
        if scale is None:
            raise ValueError(
                f"uint8 pixels must have a scale, (pixel / 255 - mean) / std, got none: {remedy}"
            )


def scaled(inputs: I, scale: PixelScale, *, dtype: torch.dtype | None = None) -> I:
    """Network inputs for inputs as a data set holds them: (pixel / 255 - mean) / std for tensors of
    uint8 pixels (N, C, H, W); tensors of any other type are network inputs already. All that are
    real numbers then are of `dtype` (default: float32 for pixels, and others as they are).

    Raises:
        ValueError: where the scale is of another number of channels.
    """
    there = map_tensors(inputs, lambda tensor: _scaled(tensor, scale))
    if dtype is None:
        return there
    return map_tensors(there, lambda one: one.to(dtype) if one.is_floating_point() else one)


def _scaled(images: Tensor, scale: PixelScale) -> Tensor:
    if images.dtype != torch.uint8:
        return images
    if images.dim() != 4:
        raise ValueError(f"images of pixels must be (N, C, H, W), got {tuple(images.shape)}")
    if len(scale.mean) not in (1, images.shape[1]):
        raise ValueError(
            f"the pixel scale {scale} has {len(scale.mean)} channels, the images "
            f"{images.shape[1]}: choose another --normalize"
        )
    mean, std = _mean_and_std(scale, images.device)
    # In place on the new tensor that .to has made of the bytes. Divided first, as torchvision
    # does: another order rounds otherwise.
    return images.to(torch.float32).div_(255).sub_(mean).div_(std)


@lru_cache(maxsize=16)  # making them on a GPU would wait for it, batch after batch
def _mean_and_std(scale: PixelScale, device: torch.device) -> tuple[Tensor, Tensor]:
    mean, std = (torch.tensor(one, device=device).view(-1, 1, 1) for one in (scale.mean, scale.std))
    return mean, std
