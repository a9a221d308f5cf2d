"""Chips -> rows."""

from typing import TYPE_CHECKING

from noiseproof.core.lazy import face

if TYPE_CHECKING:
    from noiseproof.measuring.activations import explain as explain
    from noiseproof.measuring.activations import explain_setup as explain_setup
    from noiseproof.measuring.commands import ExplainRequest as ExplainRequest
    from noiseproof.measuring.commands import MeasureRequest as MeasureRequest
    from noiseproof.measuring.commands import RankRequest as RankRequest
    from noiseproof.measuring.commands import TrackRequest as TrackRequest
    from noiseproof.measuring.curves import check_in_units as check_in_units
    from noiseproof.measuring.curves import measure as measure
    from noiseproof.measuring.curves import measure_setup as measure_setup
    from noiseproof.measuring.evaluator import Evaluator as Evaluator
    from noiseproof.measuring.inspection import inspect_network as inspect_network
    from noiseproof.measuring.inspection import inspect_setup as inspect_setup
    from noiseproof.measuring.inventory import TensorFacts as TensorFacts
    from noiseproof.measuring.opening import open_evaluator as open_evaluator
    from noiseproof.measuring.options import check_keywords as check_keywords
    from noiseproof.measuring.options import with_keywords as with_keywords
    from noiseproof.measuring.requests import Calibration as Calibration
    from noiseproof.measuring.requests import Measurement as Measurement
    from noiseproof.measuring.requests import Network as Network
    from noiseproof.measuring.requests import Subject as Subject
    from noiseproof.measuring.sensitivity import rank_layers as rank_layers
    from noiseproof.measuring.sensitivity import rank_setup as rank_setup
    from noiseproof.measuring.settling import named as named
    from noiseproof.measuring.settling import settled as settled
    from noiseproof.measuring.setup import Setup as Setup
    from noiseproof.measuring.setup import calibration_from as calibration_from
    from noiseproof.measuring.setup import network_of as network_of
    from noiseproof.measuring.setup import open_setup as open_setup
    from noiseproof.measuring.setup import opened as opened
    from noiseproof.measuring.streams import track as track
    from noiseproof.measuring.streams import track_setup as track_setup
    from noiseproof.measuring.units import Units as Units
    from noiseproof.measuring.units import open_units as open_units
    from noiseproof.measuring.units import places_of as places_of
    from noiseproof.measuring.watching import analog_places as analog_places
    from noiseproof.measuring.watching import fitted_request as fitted_request

__getattr__, __dir__ = face(
    __name__,
    {
        "inspect_setup": "measuring.inspection",
        "inspect_network": "measuring.inspection",
        "analog_places": "measuring.watching",
        "fitted_request": "measuring.watching",
        "Calibration": "measuring.requests",
        "Evaluator": "measuring.evaluator",
        "ExplainRequest": "measuring.commands",
        "MeasureRequest": "measuring.commands",
        "Measurement": "measuring.requests",
        "Network": "measuring.requests",
        "RankRequest": "measuring.commands",
        "Setup": "measuring.setup",
        "Subject": "measuring.requests",
        "TensorFacts": "measuring.inventory",
        "TrackRequest": "measuring.commands",
        "Units": "measuring.units",
        "calibration_from": "measuring.setup",
        "check_in_units": "measuring.curves",
        "explain": "measuring.activations",
        "explain_setup": "measuring.activations",
        "measure": "measuring.curves",
        "measure_setup": "measuring.curves",
        "named": "measuring.settling",
        "network_of": "measuring.setup",
        "open_evaluator": "measuring.opening",
        "open_setup": "measuring.setup",
        "open_units": "measuring.units",
        "opened": "measuring.setup",
        "places_of": "measuring.units",
        "rank_layers": "measuring.sensitivity",
        "rank_setup": "measuring.sensitivity",
        "settled": "measuring.settling",
        "track": "measuring.streams",
        "track_setup": "measuring.streams",
        "check_keywords": "measuring.options",
        "with_keywords": "measuring.options",
    },
)
