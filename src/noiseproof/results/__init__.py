"""Rows, and what is estimated from them; no torch."""

from typing import TYPE_CHECKING

from noiseproof.core.lazy import face

if TYPE_CHECKING:
    from noiseproof.results.activations import FLOOR as FLOOR
    from noiseproof.results.activations import QUANTITIES as QUANTITIES
    from noiseproof.results.activations import RATIO as RATIO
    from noiseproof.results.activations import SHIFT as SHIFT
    from noiseproof.results.activations import SNR as SNR
    from noiseproof.results.activations import TINY as TINY
    from noiseproof.results.activations import Activations as Activations
    from noiseproof.results.activations import Point as Point
    from noiseproof.results.activations import Quantity as Quantity
    from noiseproof.results.activations import Way as Way
    from noiseproof.results.activations import findings as findings
    from noiseproof.results.activations import kept_channels as kept_channels
    from noiseproof.results.activations import mean_shift as mean_shift
    from noiseproof.results.activations import snr_db as snr_db
    from noiseproof.results.activations import variance_ratio as variance_ratio
    from noiseproof.results.axes import Role as Role
    from noiseproof.results.computes import Computes as Computes
    from noiseproof.results.computes import Figures as Figures
    from noiseproof.results.computes import agree as agree
    from noiseproof.results.computes import parse_computes as parse_computes
    from noiseproof.results.computes import same_but_code as same_but_code
    from noiseproof.results.curves import Curve as Curve
    from noiseproof.results.curves import as_json as as_json
    from noiseproof.results.curves import chips_in_common as chips_in_common
    from noiseproof.results.curves import curves_of as curves_of
    from noiseproof.results.curves import paired_difference as paired_difference
    from noiseproof.results.curves import reach_text as reach_text
    from noiseproof.results.curves import way_of as way_of
    from noiseproof.results.curves import where_of as where_of
    from noiseproof.results.dice import difference_of_chips as difference_of_chips
    from noiseproof.results.dice import have_same_dice as have_same_dice
    from noiseproof.results.drawing import score_axis as score_axis
    from noiseproof.results.estimates import Estimate as Estimate
    from noiseproof.results.inspection import DesignCost as DesignCost
    from noiseproof.results.inspection import Inspection as Inspection
    from noiseproof.results.inspection import LabelFacts as LabelFacts
    from noiseproof.results.row_cache import OnRow as OnRow
    from noiseproof.results.row_cache import RowCache as RowCache
    from noiseproof.results.row_cache import Tally as Tally
    from noiseproof.results.rows import Row as Row
    from noiseproof.results.rows import further as further
    from noiseproof.results.rows import is_clean as is_clean
    from noiseproof.results.rows import key_of as key_of
    from noiseproof.results.rows import named as named
    from noiseproof.results.rows import network_key as network_key
    from noiseproof.results.rows import pack as pack
    from noiseproof.results.sensitivity import Group as Group
    from noiseproof.results.sensitivity import Ranking as Ranking
    from noiseproof.results.sensitivity import Step as Step
    from noiseproof.results.sensitivity import rankings_of as rankings_of
    from noiseproof.results.showing import number_or_none as number_or_none
    from noiseproof.results.showing import printable as printable
    from noiseproof.results.store import Store as Store
    from noiseproof.results.store import export as export
    from noiseproof.results.store import exported as exported
    from noiseproof.results.streams import Trace as Trace
    from noiseproof.results.streams import stream_key as stream_key
    from noiseproof.results.streams import traces_of as traces_of
    from noiseproof.results.swept import Swept as Swept
    from noiseproof.results.swept import in_order as in_order
    from noiseproof.results.swept import swept_by as swept_by

__getattr__, __dir__ = face(
    __name__,
    {
        "LabelFacts": "results.inspection",
        "Inspection": "results.inspection",
        "DesignCost": "results.inspection",
        "Activations": "results.activations",
        "Computes": "results.computes",
        "Curve": "results.curves",
        "Estimate": "results.estimates",
        "FLOOR": "results.activations",
        "Figures": "results.computes",
        "Group": "results.sensitivity",
        "OnRow": "results.row_cache",
        "Point": "results.activations",
        "QUANTITIES": "results.activations",
        "Quantity": "results.activations",
        "RATIO": "results.activations",
        "Ranking": "results.sensitivity",
        "Role": "results.axes",
        "Row": "results.rows",
        "RowCache": "results.row_cache",
        "SHIFT": "results.activations",
        "SNR": "results.activations",
        "Step": "results.sensitivity",
        "Store": "results.store",
        "TINY": "results.activations",
        "Tally": "results.row_cache",
        "Trace": "results.streams",
        "Way": "results.activations",
        "agree": "results.computes",
        "as_json": "results.curves",
        "chips_in_common": "results.curves",
        "curves_of": "results.curves",
        "difference_of_chips": "results.dice",
        "export": "results.store",
        "exported": "results.store",
        "findings": "results.activations",
        "further": "results.rows",
        "have_same_dice": "results.dice",
        "kept_channels": "results.activations",
        "is_clean": "results.rows",
        "key_of": "results.rows",
        "mean_shift": "results.activations",
        "named": "results.rows",
        "network_key": "results.rows",
        "number_or_none": "results.showing",
        "pack": "results.rows",
        "paired_difference": "results.curves",
        "parse_computes": "results.computes",
        "printable": "results.showing",
        "rankings_of": "results.sensitivity",
        "same_but_code": "results.computes",
        "score_axis": "results.drawing",
        "snr_db": "results.activations",
        "stream_key": "results.streams",
        "traces_of": "results.streams",
        "variance_ratio": "results.activations",
        "Swept": "results.swept",
        "in_order": "results.swept",
        "swept_by": "results.swept",
        "way_of": "results.curves",
        "reach_text": "results.curves",
        "where_of": "results.curves",
    },
)
