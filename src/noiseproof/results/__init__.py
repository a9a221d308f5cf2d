"""Rows, and what is estimated from them; no torch."""

from typing import TYPE_CHECKING

from noiseproof.core.lazy import face

if TYPE_CHECKING:
    from noiseproof.results.curves import Curve as Curve
    from noiseproof.results.curves import curves_of as curves_of
    from noiseproof.results.estimates import Estimate as Estimate
    from noiseproof.results.rows import Row as Row
    from noiseproof.results.store import Store as Store
    from noiseproof.results.store import export as export
    from noiseproof.results.store import exported as exported

__getattr__, __dir__ = face(
    __name__,
    {
        "Curve": "results.curves",
        "Estimate": "results.estimates",
        "Row": "results.rows",
        "Store": "results.store",
        "curves_of": "results.curves",
        "export": "results.store",
        "exported": "results.store",
    },
)
