"""How a kernel is cut into arrays."""

from collections.abc import Iterator

from torch import Tensor

from noiseproof.network import as_matrix
from noiseproof.network.layouts import Layout

Part = tuple[slice, slice, slice]  # of (groups, outputs, inputs)


def tiles(w: Tensor, layout: Layout, tile: tuple[int, int]) -> Iterator[Part]:
    """The parts of the matrices of a kernel that lie in one array each: at most `tile` rows
    (inputs, whole input channels of a convolution) and columns (outputs).

    Raises:
        ValueError: as `whole_tile`.
    """
    _, outputs, inputs = as_matrix(w, layout).shape
    rows, columns = whole_tile(w, layout, tile)
    for top in range(0, outputs, columns):
        for left in range(0, inputs, rows):
            yield slice(None), slice(top, top + columns), slice(left, left + rows)


def whole_tile(w: Tensor, layout: Layout, tile: tuple[int, int]) -> tuple[int, int]:
    """The rows and columns that are used of a `tile`: whole input channels of a convolution.

    Raises:
        ValueError: for tiles with fewer rows than one input channel has places.
    """
    rows, columns = tile
    window = w[0, 0].numel() if w.dim() > 2 and not layout.outputs else 1
    if rows < window:
        raise ValueError(
            f"a tile must hold at least one input channel, {window} rows of a window of "
            f"{'x'.join(map(str, w.shape[2:]))}, got {rows} rows"
        )
    return rows - rows % window, columns
