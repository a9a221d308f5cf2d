"""A circuit as a list of resistors, solved node by node: slow, and as obvious as can be."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import linalg

Floats = NDArray[np.float64]
Node = tuple[str, int, int]
GROUND: Node = ("ground", 0, 0)


def currents(g: Floats, x: Floats, r: float) -> Floats:
    """What flows into ground out of each column (m,) of an array with cells g (m, n) between rows
    that begin at sources x (n,), before output 0, and columns that end behind input n - 1."""
    m, n = g.shape
    resistors: list[tuple[Node, Node, float]] = []  # (from, to, conductance)
    for i in range(m):
        for j in range(n):
            before: Node = ("row", i - 1, j) if i else ("source", 0, j)
            after: Node = ("column", i, j + 1) if j + 1 < n else ("end", i, 0)
            resistors.append((before, ("row", i, j), 1 / r))
            resistors.append((("row", i, j), ("column", i, j), float(g[i, j])))
            resistors.append((("column", i, j), after, 1 / r))
    known: dict[Node, float] = {("source", 0, j): float(x[j]) for j in range(n)}
    known |= {("end", i, 0): 0.0 for i in range(m)}
    volts = _volts(resistors, known)
    return np.array([volts["column", i, n - 1] / r for i in range(m)])


def _volts(
    resistors: Sequence[tuple[Node, Node, float]], known: dict[Node, float]
) -> dict[Node, float]:
    """The voltage of every node, by Kirchhoff's law at those that are not known."""
    nodes = dict.fromkeys(node for a, b, _ in resistors for node in (a, b) if node not in known)
    place = {node: k for k, node in enumerate(nodes)}
    matrix = sparse.lil_matrix((len(place), len(place)))
    right = np.zeros(len(place))
    for a, b, conductance in resistors:
        for here, there in ((a, b), (b, a)):
            if here in place:
                matrix[place[here], place[here]] += conductance
                if there in place:
                    matrix[place[here], place[there]] -= conductance
                else:
                    right[place[here]] += conductance * known[there]
    found = linalg.spsolve(matrix.tocsc(), right)
    return known | {node: float(found[k]) for node, k in place.items()}
