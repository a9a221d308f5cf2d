"""Voltage drops along the wires of an array: what its products are instead of w x.

The circuit. Inputs j = 0 .. n-1 are rows, outputs i = 0 .. m-1 columns; at each crossing lies a
cell of conductance g[i, j]. A row begins at an ideal source of voltage x[j], has one segment of
wire, the cell of output 0, a segment, the cell of output 1 ..., and ends open behind the last. A
column begins open at input 0, runs along all inputs with a segment between two cells, and ends
behind the last with one more segment in virtual ground, where its current y[i] is read. Every
segment has the resistance r in units of 1 / g_max, every conductance is in units of g_max.

            x[0]          x[1]     ...     x[n-1]
             |             |                 |
    open  g[0,0] ------ g[0,1] --- ... -- g[0,n-1] -- y[0]
             |             |                 |
    open  g[1,0] ------ g[1,1] --- ... -- g[1,n-1] -- y[1]
             |             |                 |
            open          open              open

The circuit is linear, so y = W x for a matrix W that is computed once per array.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from noiseproof.hardware.tiling import tiles
from noiseproof.network import State, as_kernel, as_matrix
from noiseproof.network.layouts import Layout
from noiseproof.specs import Wires

LARGEST = 256
"""Inputs and outputs of an array whose circuit is solved exactly."""


def effective(
    w: Tensor, r: float, *, method: str = "exact", cells: str = "separate", g_min_ratio: float = 0.0
) -> Tensor:
    """The weights (outputs, inputs) that an array in effect multiplies with, float32.

    - `w`: (outputs, inputs), in [-1, 1]: 1 is g_max - g_min.
    - `r`: resistance of a segment of wire times g_max.
    - `method`: one of `WIRE_METHODS` (default: exact).
    - `cells`: one of `WIRE_CELLS` (default: pairs in separate arrays).
    - `g_min_ratio`: g_min / g_max.

    Raises:
        ValueError: for another method or cells, r or g_min_ratio out of their range, weights that
            are not finite, and an array of more than 256 inputs or outputs that is to be solved
            exactly.
    """
    wires = Wires(r=r, method=method, cells=cells, g_min=g_min_ratio)
    if w.dim() != 2:
        raise ValueError(f"an array has outputs and inputs, got weights of shape {tuple(w.shape)}")
    if not bool(w.isfinite().all()):
        raise ValueError("weights in an array must be finite")
    _check_size(wires, *w.shape)
    return _in_effect(w.double(), wires).float()


def _in_effect(w: Tensor, wires: Wires) -> Tensor:
    """The same in float64, unchecked."""
    solve = _solved if wires.method == "exact" else _each_alone
    r, g_min, span = wires.r, wires.g_min, 1 - wires.g_min
    if wires.cells == "offset":
        middle = (1 + g_min) / 2
        # No device conducts less than nothing, whatever noise says.
        return 2 * (solve((middle + span / 2 * w).clamp(min=0), r) - middle) / span
    plus, minus = (g_min + span * part.clamp(min=0) for part in (w, -w))
    if wires.cells == "separate":
        return (solve(plus, r) - solve(minus, r)) / span
    both = solve(torch.stack((plus, minus), dim=2).flatten(1), r)
    return (both[:, 0::2] - both[:, 1::2]) / span


def _check_size(wires: Wires, outputs: int, inputs: int) -> None:
    if wires.method == "exact" and max(outputs, inputs) > LARGEST:
        raise ValueError(
            f"wires are solved exactly in arrays of up to {LARGEST} inputs and outputs, got "
            f"{inputs} x {outputs}: give smaller tiles, as tile={LARGEST}x{LARGEST}, or "
            "method=fast"
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Wiring:
    """The wires of a network's arrays, of at most `tile` inputs and outputs (None: any number), and
    by name how its kernels lie."""

    wires: Wires
    layouts: Mapping[str, Layout]
    tile: tuple[int, int] | None

    def check(self, state: State) -> None:
        """Raise ValueError, naming the kernel, for an array that is too large to be solved."""
        for name, layout in self.layouts.items():
            _, outputs, inputs = as_matrix(state[name], layout).shape
            rows, columns = self.tile or (inputs, outputs)
            try:
                _check_size(self.wires, min(outputs, columns), min(inputs, rows))
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None

    def on(self, state: State, scales: Mapping[str, Tensor]) -> State:
        """The kernels of a chip that `scales` (C,) names, as they in effect multiply."""
        return {
            name: wired(state[name], self.layouts[name], self.wires, scale=scale, tile=self.tile)
            for name, scale in scales.items()
        }


@torch.no_grad()
def wired(
    kernel: Tensor,
    layout: Layout,
    wires: Wires,
    *,
    scale: Tensor,
    tile: tuple[int, int] | None = None,
) -> Tensor:
    """The kernel that arrays with such wires in effect multiply with.

    - `kernel`: of the chip.
    - `layout`: how it lies as matrices, each group in arrays of its own.
    - `scale`: (C,), by which each output channel is divided to be in [-1, 1].
    - `tile`: the most inputs and outputs of an array (default: all).

    Raises:
        ValueError: for arrays that are too large, and tiles smaller than an input channel.
    """
    matrix = as_matrix(kernel, layout).cpu().double()  # (groups, outputs, inputs)
    groups, outputs, inputs = matrix.shape
    by_row = scale.to(matrix).view(groups, outputs, 1)
    weights, found = matrix / by_row, torch.full_like(matrix, torch.nan)
    for _, top, left in tiles(kernel, layout, tile or (inputs, outputs)):
        for group, w in enumerate(weights[:, top, left]):
            # With weights that are not finite the products are not either.
            if bool(w.isfinite().all()):
                _check_size(wires, *w.shape)
                found[group, top, left] = _in_effect(w, wires)
    return as_kernel(found * by_row, layout, kernel.shape).to(kernel)


# --- the whole circuit ---------------------------------------------------------------------------


def _solved(g: Tensor, r: float) -> Tensor:
    """W (m, n) of conductances (m, n), by nodal analysis: exact, for any r."""
    m, n = g.shape
    if m <= n:
        return _along_inputs(g, r)
    # The same circuit from its other end (reciprocity: the current at ground i for a volt at source
    # j is that at source j for a volt at ground i): columns become rows, so that the blocks below
    # have the smaller side.
    return _along_inputs(g.flip(0, 1).T, r).flip(0, 1).T


def _along_inputs(g: Tensor, r: float) -> Tensor:
    """The nodes are eliminated input by input, m at a time, instead of solving for all 2 m n.

    Let u[j] (m,) be the voltages of the columns where they meet input j. The row of input j is a
    chain of m nodes, of which T is the Laplacian times r (with its source, without its cells). With
    M = T + r diag(g), its nodes at column voltages u are at M^-1 (e x + r diag(g) u), e being 1 at
    the source's end; so it drives the current b x - S u / r into the columns, where

        b = diag(g) M^-1 e,    S = r diag(g) - r diag(g) M^-1 r diag(g).

    Kirchhoff's law of the columns is then block tridiagonal:

        (2 u[j] - u[j-1] - u[j+1]) / r + S[j] u[j] / r = b[j] x[j],

    with one u[0] less at the open end and u[n] = 0 in the ground. Gauss's elimination from the
    open end gives E[0] = 1 + S[0], E[j] = 2 + S[j] - E[j-1]^-1, and the current in ground
    E[n-1]^-1 (b[n-1] x[n-1] + E[n-2]^-1 (b[n-2] x[n-2] + ...)). Every E is at least 1 (E[j-1] >= 1
    leaves 2 - E[j-1]^-1 >= 1), so nothing is lost to rounding as r goes to 0.
    """
    m, n = g.shape
    one = torch.eye(m, dtype=g.dtype)
    chain = _chain(m, g.dtype)
    found = torch.zeros(m, n, dtype=g.dtype)
    before = one  # so that the open end has 2 - 1
    for j in range(n):
        scaled = r * g[:, j]
        inside = _inverse(chain + torch.diag(scaled))
        found[:, j] = g[:, j] * inside[:, 0]
        schur = torch.diag(scaled) - scaled[:, None] * inside * scaled
        before = _inverse(2 * one + schur - before)
        # What earlier inputs have driven into the columns goes on through this segment.
        found[:, : j + 1] = before @ found[:, : j + 1]
    return found


def _chain(m: int, dtype: torch.dtype) -> Tensor:
    """The Laplacian of m nodes in a row, times r: a segment from the source to the first, one
    between neighbours, none behind the last."""
    side = torch.diag(torch.ones(m - 1, dtype=dtype), 1)
    found = 2 * torch.eye(m, dtype=dtype) - side - side.T
    found[-1, -1] = 1
    return found


def _inverse(matrix: Tensor) -> Tensor:
    """Of a symmetric positive definite one."""
    return torch.cholesky_inverse(torch.linalg.cholesky(matrix))


# --- each wire alone -----------------------------------------------------------------------------


def _each_alone(g: Tensor, r: float) -> Tensor:
    """g times the share of the voltage that is left along the row, its columns held at ground, and
    the same along the column, its rows held at their sources: exact in r for either wire alone, and
    to first order for both, where it is g (1 - r (A + B)) with

        A[i, j] = sum_k (min(i, k) + 1) g[k, j],    B[i, j] = sum_k (n - max(j, k)) g[i, k].
    """
    along_rows = _left(g, r)
    # A column is read where it ends: seen from there (reciprocity) it is a row.
    return g * along_rows * _left(g.flip(1).T, r).T.flip(1)


def _left(g: Tensor, r: float) -> Tensor:
    """Of a volt at the source, what is left at each node of the chains along dimension 0, whose
    cells end in ground: Thomas's elimination from the open end."""
    shares = torch.empty_like(g)
    pivot = torch.ones_like(g[0])  # so that the open end has 2 - 1
    for i in range(len(g) - 1, -1, -1):
        pivot = 2 + r * g[i] - 1 / pivot
        shares[i] = 1 / pivot  # of the voltage of the node before
    return shares.cumprod(0)
