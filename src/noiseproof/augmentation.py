"""The standard CIFAR augmentation, on tensors."""

import torch
from torch import Generator, Tensor
from torch.nn import functional as F


def augmented(images: Tensor, *, shift: int, flip: bool, generator: Generator) -> Tensor:
    """Each image (of (N, C, H, W), any dtype) moved by up to `shift` pixels both ways, with zeros
    coming in, and mirrored with probability 1/2 where `flip`: the standard CIFAR augmentation."""
    n, _, height, width = images.shape
    padded = F.pad(images, (shift,) * 4)
    top, left = torch.randint(0, 2 * shift + 1, (2, n), generator=generator)
    mirrored = torch.rand(n, generator=generator) < 0.5
    columns = torch.arange(width).expand(n, width)
    if flip:
        columns = torch.where(mirrored[:, None], columns.flip(1), columns)
    rows = torch.arange(height) + top[:, None]  # (N, H)
    columns = columns + left[:, None]  # (N, W)
    picked = padded.permute(0, 2, 3, 1)[
        torch.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]
    ]
    return picked.permute(0, 3, 1, 2).contiguous()
