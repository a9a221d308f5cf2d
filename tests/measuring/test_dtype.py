"""Chips that compute in bfloat16: their rows, what it changes, and what it is not for."""

import copy

import pytest
import torch

import noiseproof as npf
from noiseproof.measuring.requests import Network
from noiseproof.network import places, state_of
from noiseproof.network.chip import Chip, outputs
from noiseproof.network.passes import Passes
from noiseproof.noise import perturb
from tests.measuring.toys import GAUSSIAN, network, own_answers

LOW = "bfloat16"


def test_a_chip_is_cast_once_it_is_folded() -> None:
    net, data = network(), own_answers()
    state = state_of(net)
    noisy = perturb(state, places(net), GAUSSIAN, seed=0, chip=3)
    plain = Passes(net, state, data.inputs[:2])
    low = Passes(net, state, data.inputs[:2], dtype=torch.bfloat16)
    assert plain.fold is not None, "the normalisation is gone before anything is rounded"
    literal = copy.deepcopy(plain.skeleton).bfloat16()
    ready = {name: one.bfloat16() for name, one in plain.ready(Chip(noisy)).state.items()}
    wanted = outputs(literal, Chip(ready), data.inputs.bfloat16()).float()
    found = low.load(Chip(noisy))(data.inputs)
    assert found.dtype == torch.float32
    assert torch.equal(found, wanted)
    assert not torch.equal(found, plain.load(Chip(noisy))(data.inputs))


def test_rows_say_the_dtype_and_the_clean_network_is_computed_in_its_own() -> None:
    said: list[str] = []
    found = npf.measure(
        network(), own_answers(), GAUSSIAN, chips=2, dtype=LOW, on_design=said.append
    )
    assert {row.dtype for row in found.points[0].rows} == {LOW}
    assert (found.clean.dtype, found.clean.score) == ("", 1.0)
    (line,) = [text for text in said if text.startswith(LOW)]
    assert "points more than in its own dtype" in line


def test_chips_in_two_dtypes_are_two_curves_of_the_same_dice() -> None:
    plain = npf.measure(network(), own_answers(), GAUSSIAN, chips=3)
    low = npf.measure(network(), own_answers(), GAUSSIAN, chips=3, dtype=LOW)
    for one, other in zip(plain.points[0].rows, low.points[0].rows, strict=True):
        assert npf.records.key_of(one) != npf.records.key_of(other)
        assert abs(one.score - other.score) < 0.1
    assert plain.points[0].rows[0].dtype == ""


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"dtype": "float16"}, "unknown dtype 'float16': expected one of bfloat16$"),
        ({"dtype": LOW, "mvm": "output(0.1)"}, r"dtype bfloat16 is not for the products output\("),
        ({"dtype": LOW, "score": lambda model, data: 1.0}, "is not for a score of your own: "),
        ({"dtype": LOW, "design": "per-image"}, "per-image chips compute in the network's own"),
        (
            {"dtype": LOW, "recalibrate": "ema(0.1)"},
            "follows the test batches in the network's own dtype alone",
        ),
    ],
)
def test_what_bfloat16_is_not_for_is_refused(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        npf.measure(network(), own_answers(), GAUSSIAN, **options)


def test_a_network_has_its_own_dtype_unless_said_otherwise() -> None:
    assert Network().dtype == ""
