"""What travels to a worker: pickled, with its tensors beside it as arrays that all processes of a
node read where they lie."""

import pickle
import warnings
from io import BytesIO
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from noiseproof.study.run.pieces import Data, Trained


class _Packer(pickle.Pickler):
    """Takes tensors apart, into arrays that Ray shares between processes without a copy."""

    def reducer_override(self, thing: object) -> Any:
        if isinstance(thing, Tensor):
            plain = thing.detach().cpu().contiguous()
            array = plain.view(-1).view(torch.uint8).numpy()
            return _tensor, (array, plain.dtype, tuple(plain.shape))
        return NotImplemented


def packed(thing: Data | Trained) -> tuple[bytes, list[pickle.PickleBuffer]]:
    """`thing` without its tensors, and these."""
    buffers: list[pickle.PickleBuffer] = []
    file = BytesIO()
    _Packer(file, protocol=5, buffer_callback=buffers.append).dump(thing)
    return file.getvalue(), buffers


def unpacked(parts: tuple[bytes, list[pickle.PickleBuffer]]) -> Any:
    """The thing; its tensors are read-only and lie where the parts lie."""
    return pickle.loads(parts[0], buffers=parts[1])


def _tensor(array: NDArray[np.uint8], dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array).view(dtype).view(shape)
