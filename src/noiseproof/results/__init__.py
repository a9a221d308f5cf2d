"""Rows, and what is estimated from them; no torch."""

from typing import TYPE_CHECKING

from noiseproof.core.lazy import face

if TYPE_CHECKING:
    from noiseproof.results.activations import Activations as Activations
    from noiseproof.results.curves import Curve as Curve
    from noiseproof.results.curves import curves_of as curves_of
    from noiseproof.results.estimates import Estimate as Estimate
    from noiseproof.results.rows import Row as Row
    from noiseproof.results.sensitivity import Ranking as Ranking
    from noiseproof.results.sensitivity import rankings_of as rankings_of
    from noiseproof.results.store import Store as Store
    from noiseproof.results.store import export as export
    from noiseproof.results.store import exported as exported
    from noiseproof.results.streams import Trace as Trace
    from noiseproof.results.streams import traces_of as traces_of

__getattr__, __dir__ = face(
    __name__,
    {
        "Activations": "results.activations",
        "Curve": "results.curves",
        "Estimate": "results.estimates",
        "Ranking": "results.sensitivity",
        "Row": "results.rows",
        "Store": "results.store",
        "Trace": "results.streams",
        "curves_of": "results.curves",
        "export": "results.store",
        "exported": "results.store",
        "rankings_of": "results.sensitivity",
        "traces_of": "results.streams",
    },
)
