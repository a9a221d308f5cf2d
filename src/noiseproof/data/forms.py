"""Data in the forms that people have -> a `Split`: pairs of tensors, arrays or lists, a `Dataset`,
a `DataLoader`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import (
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    default_collate,
)
from torch.utils.data import Dataset as TorchDataset

from noiseproof.core.inputs import Inputs, as_inputs, tensors
from noiseproof.data.boxes import Boxes
from noiseproof.data.labels import Labels, as_labels
from noiseproof.data.pixels import check_scale
from noiseproof.data.sets import Dataset, Source
from noiseproof.data.splits import Split
from noiseproof.data.streaming import Kept, Streamed
from noiseproof.specs import UNSCALED

LABEL_KEYS = ("labels", "label", "target", "targets")
READ_AT_ONCE = 64  # samples, where labels are collected
EXPECTED = (
    "a Split, a pair of inputs and labels (tensors, arrays or lists), a Dataset or a DataLoader"
)


def split_of(data: object) -> Split:
    """The samples and labels in `data`, a tuple or list of both, or what has them one by one: a
    dataset is read sample by sample when it is needed, in its own order, and so is that of a loader
    that shuffles, since chips are compared image by image.

    Raises:
        ValueError: for anything else, and for a dataset that gives other inputs each time.
    """
    if isinstance(data, Split):
        return data
    if isinstance(data, Dataset):
        return data.test
    if isinstance(data, Source):
        return data.read("test")
    if isinstance(data, DataLoader):
        return _streamed(data.dataset, _order(data), data.collate_fn)
    if isinstance(data, tuple | list) and len(data) == 2 and not _is_sample(data[0]):
        return pair(*data)
    if _is_indexed(data):
        return _streamed(data, range(len(data)), list)  # type: ignore[arg-type]
    raise ValueError(
        f"data must be {EXPECTED}, got {type(data).__name__}; other data needs a score of your own"
    )


def inputs_of(data: object, most: int | None) -> Inputs | None:
    """The inputs in `data`, the first `most` of them where it is a form with many; labels beside
    them are left out. A tuple, list or dict of tensors is inputs itself."""
    if data is None or isinstance(data, Tensor):
        return data
    if isinstance(data, np.ndarray):
        return as_tensor(data)
    if isinstance(data, Split | Dataset | Source | DataLoader | TorchDataset):
        if isinstance(data, Source):
            data = data.read("train")
        split = data if isinstance(data, Split) else split_of(data)
        return split.part(0, len(split) if most is None else most).inputs
    if isinstance(data, Mapping):
        return as_inputs({name: as_tensor(one) for name, one in data.items()}, "calibration")
    if isinstance(data, tuple | list):
        return as_inputs(tuple(as_tensor(one) for one in data), "calibration")
    return as_inputs(data, "calibration")


def ready_inputs(data: object, most: int | None) -> Inputs:
    """The inputs in `data`, as `inputs_of`, as a network takes them: pixels pass by the scale that
    their split has.

    Raises:
        ValueError: for pixels without one.
    """
    remedy = "give a Split with its scale, or inputs as the network takes them"
    if isinstance(data, Source):
        data = data.read("train")
    if isinstance(data, Split | Dataset):
        split = split_of(data)
        split.check_scale(split.scale, remedy=remedy)
        data = split.ready(split.scale or UNSCALED)
    inputs = inputs_of(data, most)
    if inputs is None:
        raise ValueError(f"calibration data must be inputs, or {EXPECTED}, got None")
    check_scale(inputs, None, remedy=remedy)
    return inputs


def pair(inputs: object, labels: object) -> Split:
    """A split in memory of inputs and labels in any form."""
    found = _labels(labels)
    if isinstance(found, Tensor) and not found.dim():
        raise ValueError("labels must have the sample on axis 0, got a single number")
    return Split(inputs=_inputs(inputs, len(found)), labels=found)


def as_tensor(found: object) -> Tensor:
    """A tensor of an array, a list of numbers, an image of Pillow, or a tensor.

    Raises:
        ValueError: for anything else.
    """
    if isinstance(found, Tensor):
        return found
    try:
        if hasattr(found, "getbands"):  # an image: (H, W) or (H, W, C) -> (C, H, W)
            array = np.array(found)
            return torch.from_numpy(np.atleast_3d(array).transpose(2, 0, 1).copy())
        return torch.from_numpy(np.array(found, order="C"))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"inputs and labels must be tensors, arrays or lists of numbers, got "
            f"{type(found).__name__}: {str(error).splitlines()[0]}"
        ) from None


def _is_sample(one: object) -> bool:
    """Is it a sample with its label, and not all samples?"""
    return isinstance(one, tuple) and len(one) >= 2 and np.ndim(_bare(one[-1])) == 0


def _bare(one: object) -> Any:
    return one if isinstance(one, Tensor | np.ndarray | int | float) else [0]


def _is_indexed(data: object) -> bool:
    return (
        hasattr(data, "__getitem__")
        and hasattr(data, "__len__")
        and not isinstance(data, Tensor | np.ndarray | Mapping | str | tuple)
    )


def _inputs(found: object, n: int) -> Inputs:
    if isinstance(found, Mapping):
        return as_inputs({name: as_tensor(one) for name, one in found.items()})
    if isinstance(found, list | tuple) and found and not isinstance(found[0], int | float | list):
        several = [as_tensor(one) for one in found]
        # As many tensors as labels, none of them as long: these are the samples themselves.
        if len(several) == n and any(not one.dim() or len(one) != n for one in several):
            return _stacked(several)
        return as_inputs(tuple(several))
    return as_tensor(found)


def _stacked(several: Sequence[Tensor]) -> Tensor:
    if len({one.shape for one in several}) > 1:
        raise ValueError(
            f"samples must be of one shape, got {tuple(several[0].shape)} and others: resize or "
            "pad them"
        )
    return torch.stack(list(several))


def _labels(found: object) -> Labels:
    if isinstance(found, list | tuple) and found:
        if isinstance(found[0], Boxes):
            return tuple(found)
        if isinstance(found[0], Mapping):
            return tuple(_boxes(one) for one in found)
        return _stacked([as_tensor(one) for one in found])
    return as_tensor(found)


def _boxes(one: Any) -> Boxes:
    """The boxes of torchvision's targets."""
    if not isinstance(one, Mapping) or not {"boxes", "labels"} <= one.keys():
        raise ValueError("labels that are dictionaries must have `boxes` and `labels`")
    return Boxes(corners=as_tensor(one["boxes"]), classes=as_tensor(one["labels"]))


# --- one by one ----------------------------------------------------------------------------------


def _order(loader: "DataLoader[Any]") -> Sequence[int]:
    """The places of a loader's samples in a fixed order.

    Raises:
        ValueError: for a loader that has no such order.
    """
    dataset, sampler = loader.dataset, loader.sampler
    if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__len__"):
        raise ValueError(
            "a DataLoader must have a dataset with a length and numbered samples, got "
            f"{type(dataset).__name__}: chips are compared image by image"
        )
    if isinstance(sampler, SubsetRandomSampler):
        return sorted(int(place) for place in sampler.indices)
    fixed = isinstance(sampler, SequentialSampler) or (
        isinstance(sampler, RandomSampler) and not sampler.replacement
    )
    if not fixed or (loader.batch_sampler is None and loader.batch_size is not None):
        raise ValueError(
            f"a DataLoader must go through its dataset in order, got {type(sampler).__name__}: "
            "leave the sampler out"
        )
    return range(len(dataset))


def _streamed(dataset: Any, order: Sequence[int], collate: Callable[[Any], Any]) -> Streamed:
    """The samples of a dataset; labels are collected in one pass."""
    if not len(order):
        raise ValueError("images must be >= 1, got 0")
    kept: Kept[Any] = Kept(lambda place: dataset[order[place]], _bytes)

    def read(places: Sequence[int]) -> tuple[Inputs, Labels]:
        return _batch(kept.several(places), collate)

    starts = range(0, len(order), READ_AT_ONCE)
    # The labels alone are kept of each batch.
    labels = _joined([read(range(i, min(i + READ_AT_ONCE, len(order))))[1] for i in starts])
    first, again = (_batch([dataset[order[0]]], collate)[0] for _ in range(2))
    if not all(map(torch.equal, tensors(first), tensors(again))):
        raise ValueError(
            "a dataset must give the same sample each time, and this one does not: leave random "
            "transforms out, since chips are compared image by image"
        )
    return Streamed(read=lambda places: read(places)[0], labels=as_labels(labels, None))


def _batch(items: Sequence[Any], collate: Callable[[Any], Any]) -> tuple[Inputs, Labels]:
    """The inputs and labels of a few samples."""
    if collate not in (default_collate, list):
        # What pads, say, needs all of a batch; it knows the form of its samples.
        x, y = _divided(collate(list(items)))
        labels = _labels(y)
        return _inputs(x, len(labels)), labels
    pairs = [_divided(item) for item in items]
    return _together([x for x, _ in pairs]), _labels([y for _, y in pairs])


def _divided(sample: Any) -> tuple[Any, Any]:
    """Inputs and label of a sample, or of a batch."""
    if isinstance(sample, Mapping):
        key = next((key for key in LABEL_KEYS if key in sample), None)
        if key is not None:
            return {name: one for name, one in sample.items() if name != key}, sample[key]
    elif isinstance(sample, tuple | list) and len(sample) >= 2:
        return sample[0] if len(sample) == 2 else tuple(sample[:-1]), sample[-1]
    raise ValueError(
        f"a sample must be a pair of inputs and label, or a dictionary with `labels`, got "
        f"{type(sample).__name__}"
    )


def _together(several: Sequence[Any]) -> Inputs:
    first = several[0]
    if isinstance(first, Mapping):
        return {name: _stacked([as_tensor(x[name]) for x in several]) for name in first}
    if isinstance(first, tuple):
        columns = zip(*several, strict=True)
        return tuple(_stacked([as_tensor(one) for one in column]) for column in columns)
    return _stacked([as_tensor(one) for one in several])


def _joined(several: Sequence[Labels]) -> Labels:
    if not isinstance(several[0], Tensor):
        return tuple(boxes for labels in several for boxes in labels)
    found = [labels for labels in several if isinstance(labels, Tensor)]
    if len({labels.shape[1:] for labels in found}) > 1:
        raise ValueError("labels must be of one shape in all batches: pad them to one length")
    return torch.cat(found)


def _bytes(item: Any) -> int:
    """What a sample takes in memory, about."""
    if isinstance(item, Tensor | np.ndarray):
        return int(item.nbytes)
    if isinstance(item, Mapping):
        return sum(map(_bytes, item.values()))
    if isinstance(item, tuple | list):
        return sum(map(_bytes, item))
    return 3 * item.width * item.height if hasattr(item, "getbands") else 64
