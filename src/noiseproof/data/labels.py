"""Labels, which say the task: what is accepted, and in which one form it is kept."""

import torch
from torch import Tensor

from noiseproof.data.boxes import Boxes, corners_of, is_whole

VOID = 255  # mask value of pixels that no score and no loss counts
NO_TOKEN = -100  # label of places that no score and no loss counts, as in torch's cross-entropy

Labels = Tensor | tuple[Boxes, ...]


def as_labels(found: object, size: tuple[int, int] | None) -> Labels:
    """`found` in the form in which it is kept: classes (N,) as int64; masks (N, H, W) of classes
    and `VOID` as uint8; tokens (N, T) of numbers and `NO_TOKEN` as int64; real numbers (N, ...) as
    they are; one `Boxes` for each image. One-hot rows (N, C) and columns (N, 1) become classes.
    `size`: height and width of the images that masks and boxes lie in; None: not known.

    Raises:
        ValueError: for anything else.
    """
    if not isinstance(found, Tensor):
        return _boxes(found, size)
    if not found.dim():
        raise ValueError("labels must have the sample on axis 0, got a single number")
    if found.dim() == 2 and _is_binary(found):
        return _of_binary(found)
    if found.is_floating_point():
        return _real(found)
    if found.dim() == 2 and found.shape[1] == 1 and is_whole(found):
        found = found[:, 0]
    if found.dim() == 4 and found.shape[1] == 1:
        found = found[:, 0]
    if found.dim() == 3 and found.dtype == torch.bool:
        found = found.to(torch.uint8)
    if found.dim() not in (1, 2, 3) or not is_whole(found):
        raise ValueError(
            f"labels must be whole numbers (N,), or masks of them (N, H, W), tokens (N, T), or "
            f"real numbers, got {found.dtype} {tuple(found.shape)}"
        )
    lowest = int(found.min()) if found.numel() else 0
    if found.dim() == 2 and lowest == NO_TOKEN:
        lowest = int(found[found != NO_TOKEN].min()) if (found != NO_TOKEN).any() else 0
    if lowest < 0:
        raise ValueError(f"labels must be >= 0, got {lowest}")
    return _masks(found, size) if found.dim() == 3 else found.to(torch.int64)


def _is_binary(labels: Tensor) -> bool:
    """Are they (N, C > 1) of 0 and 1 alone? Tokens are so only where every row has both."""
    if labels.shape[1] < 2 or not labels.numel():
        return False
    binary = bool(((labels == 0) | (labels == 1)).all())
    return binary and (not is_whole(labels) or bool((labels.sum(1) == 1).all()))


def _of_binary(labels: Tensor) -> Tensor:
    if not (labels.sum(1) == 1).all():
        raise ValueError(
            "labels (N, C) of 0 and 1 must have one 1 in each row, which is its class; where a "
            "sample has several classes give a score of your own"
        )
    return labels.to(torch.uint8).argmax(1)


def _real(labels: Tensor) -> Tensor:
    if not labels.isfinite().all():
        raise ValueError("labels that are real numbers must be finite, got nan or inf")
    if labels.numel() and labels.numel() == len(labels) and ((labels == 0) | (labels == 1)).all():
        raise ValueError(
            "labels of 0 and 1 alone must be whole numbers, for a network of two outputs: give "
            "labels.long(), or a score of your own for a network of one output"
        )
    return labels


def _masks(labels: Tensor, size: tuple[int, int] | None) -> Tensor:
    if size not in (None, tuple(labels.shape[1:])):
        raise ValueError(
            f"masks must be as large as their images, got {tuple(labels.shape[1:])} and {size}"
        )
    if labels.dtype != torch.uint8 and labels.numel() and int(labels.max()) > VOID:
        raise ValueError(
            f"classes of masks must be < {VOID}, and {VOID} for void, got {int(labels.max())}"
        )
    # A byte for each pixel: int64 masks would be eight times their uint8 images' channel.
    return labels.to(torch.uint8)


def _boxes(found: object, size: tuple[int, int] | None) -> tuple[Boxes, ...]:
    if isinstance(found, str) or not hasattr(found, "__iter__"):
        raise ValueError(
            f"labels must be a tensor or a Boxes per image, got {type(found).__name__}"
        )
    several = tuple(found)
    for place, boxes in enumerate(several):
        if not isinstance(boxes, Boxes):
            raise ValueError(
                f"labels must be a tensor or a Boxes per image, got one {type(boxes).__name__}"
            )
        if size and (outside := boxes.outside(*size)).any():
            raise ValueError(
                f"a box must lie inside its image, got {corners_of(boxes, outside)} in image "
                f"{place} of {size[0]}x{size[1]} pixels"
            )
    return several


def task_of(labels: Labels) -> str:
    """What the labels ask for: a key of `catalog.TASKS`."""
    if not isinstance(labels, Tensor):
        return "detect"
    if labels.is_floating_point():
        return "regress"
    return {1: "classify", 2: "tokens", 3: "segment"}[labels.dim()]


def classes_in(labels: Labels) -> Tensor:
    """The classes that occur, sorted (K,)."""
    none = torch.zeros(0, dtype=torch.int64)
    if not isinstance(labels, Tensor):
        found = torch.cat([none, *(boxes.classes for boxes in labels)])
    elif labels.is_floating_point():
        found = none
    else:
        void = {1: None, 2: NO_TOKEN, 3: VOID}[labels.dim()]
        found = labels if void is None else labels[labels != void].long()
    return torch.bincount(found).nonzero()[:, 0]


def renumbered(labels: Labels, numbers: Tensor) -> Labels:
    """The labels with class c as numbers[c]; void stays."""
    if not isinstance(labels, Tensor):
        return tuple(Boxes(corners=b.corners, classes=numbers[b.classes]) for b in labels)
    if labels.dim() == 1:
        return numbers[labels]
    counted = labels != (VOID if labels.dim() == 3 else NO_TOKEN)
    changed = labels.clone()
    changed[counted] = numbers[labels[counted].long()].to(labels.dtype)
    return changed


def tensors_of(labels: Labels) -> list[Tensor]:
    """All that a fingerprint has to see, in order."""
    if isinstance(labels, Tensor):
        return [labels]
    return [tensor for boxes in labels for tensor in (boxes.corners, boxes.classes)]
