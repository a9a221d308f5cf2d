"""Requests: what is refused when they are made, and that Python and the command line make the
same."""

import inspect
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch

import noiseproof as npf
from noiseproof.measuring import commands
from noiseproof.measuring.commands import ExplainRequest, MeasureRequest, RankRequest, TrackRequest
from noiseproof.measuring.curves import measure_setup
from noiseproof.measuring.options import (
    ExplainOptions,
    MeasureOptions,
    RankOptions,
    SetupOptions,
    TrackOptions,
)
from noiseproof.measuring.requests import Calibration, Measurement, Network
from noiseproof.measuring.setup import held, open_setup
from noiseproof.specs.designs import Auto, Nested, PerImage
from noiseproof.specs.estimators import parse_estimator
from noiseproof.specs.noise import parse
from noiseproof.specs.streams import Course, Stream
from tests.measuring.toys import GAUSSIAN, network, own_answers

NOISE = (parse("gaussian(0.1)"),)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"norm": "foo"}, "unknown norm 'foo'"),
        ({"norm_where": "first:2"}, "--norm-where first:2 needs --norm"),
        ({"images": 0}, "images must be >= 1, got 0"),
        ({"classes": -1}, "classes must be >= 1, got -1"),
        ({"batch_size": 0}, "batch size must be >= 1, got 0"),
        ({"task": "boxes"}, "unknown task 'boxes'"),
        ({"model": "resnet9"}, "unknown model 'resnet9'"),
        ({"data": "cifar"}, "unknown data set 'cifar'"),
        ({"device": "gpu"}, "unknown device 'gpu'"),
        ({"threads": 0}, "threads must be auto or a whole number >= 1, got 0"),
    ],
)
def test_a_network_refuses(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Network(**wrong)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"targets": ("weights",)}, "unknown target 'weights'"),
        ({"targets": ()}, "targets must name at least one"),
        ({"chips": 0}, "chips must be >= 1, got 0"),
        ({"design": PerImage(), "passes": 0}, "passes must be >= 1, got 0"),
        ({"passes": 2}, "design chips has no passes, got 2: give chips"),
        ({"design": PerImage(), "chips": 3}, "design per-image has no number of chips, got 3"),
        ({"precision": float("nan")}, "precision must be > 0 and finite"),
        ({"budget": 0.0}, "budget must be > 0"),
        ({"seed": -1}, "seed must be between 0 and"),
        ({"seed": 2**63}, "seed must be between 0 and"),
        ({"above": float("inf")}, "above must be a finite score, got inf"),
        ({"design": Auto(), "above": 0.9}, "design auto does not tell chips apart"),
    ],
)
def test_a_measurement_refuses(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Measurement(specs=NOISE, **wrong)


def test_a_measurement_has_each_level_once_and_roles_in_their_order() -> None:
    specs = tuple(parse("gaussian(0.1)").at([0.2, 0.1, 0.2]))
    asked = Measurement(specs=specs, targets=("bias", "kernel"))
    assert [spec.level for spec in asked.specs] == [0.2, 0.1]
    assert asked.targets == ("kernel", "bias")


def test_a_calibration_has_each_way_once_and_draws_for_the_hungriest() -> None:
    ways = tuple(map(parse_estimator, ("off", "20", "match(50)", "pooled(20)", "ema(0.1)")))
    asked = Calibration(ways=ways)
    assert len(asked.ways) == 4
    assert asked.needed == 50
    assert Calibration(ways=()).needed == 0


def measured(*, design: Any = None, ways: tuple[str, ...] = (), **network: Any) -> MeasureRequest:
    design = {} if design is None else {"design": design}
    return MeasureRequest(
        network=Network(**network),
        measurement=Measurement(specs=NOISE, **design),
        calibration=Calibration(ways=tuple(map(parse_estimator, ways))),
    )


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda: measured(ways=("batch(8)",), task="a:b"),
            "batch(8) needs the test batches, which the score a:b makes itself",
        ),
        (
            lambda: measured(ways=("batch(8)",), score=lambda model, test: 0.0),
            "batch(8) needs the test batches, which a score of your own makes",
        ),
        (lambda: measured(design=Nested(images=5), ways=("off",), task="a:b"), "needs a score"),
        (lambda: measured(design=PerImage(), ways=("off", "20")), "do not hold for recalib"),
        (
            lambda: MeasureRequest(
                network=Network(), measurement=Measurement(specs=(parse("none"),))
            ),
            "nothing to measure without noise",
        ),
        (
            lambda: MeasureRequest(
                network=Network(), measurement=Measurement(specs=(*NOISE, parse("stuck(0.1)")))
            ),
            "one kind of noise at a time, got 2",
        ),
        (
            lambda: TrackRequest(
                network=Network(),
                measurement=Measurement(specs=NOISE),
                calibration=Calibration(ways=(parse_estimator("match(10)"),)),
                course=Course(changes=Stream(every=10)),
            ),
            "match(10) cannot be tracked",
        ),
        (
            lambda: TrackRequest(
                network=Network(task="a:b"),
                measurement=Measurement(specs=NOISE),
                course=Course(changes=Stream(every=10)),
            ),
            "unknown task 'a:b'",
        ),
        (
            lambda: RankRequest(
                network=Network(), measurement=Measurement(specs=NOISE), by="colour"
            ),
            "unknown grouping 'colour'",
        ),
        (
            lambda: RankRequest(
                network=Network(),
                measurement=Measurement(specs=(parse("stuck(0.1)"),), design=PerImage()),
            ),
            "per-image chips do not hold for stuck noise",
        ),
        (
            lambda: ExplainRequest(
                network=Network(), measurement=Measurement(specs=(parse("none"),))
            ),
            "nothing to explain without noise",
        ),
        (
            lambda: ExplainRequest(
                network=Network(),
                measurement=Measurement(specs=NOISE),
                calibration=Calibration(ways=(parse_estimator("batch(16)"),)),
            ),
            "batch(16) follows the test batches: leave it out",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(
    make: Callable[[], commands.Request], sentence: str
) -> None:
    with pytest.raises(ValueError) as caught:
        make()
    assert sentence in str(caught.value)


FUNCTIONS = [
    (npf.measure, MeasureOptions),
    (npf.track, TrackOptions),
    (npf.rank_layers, RankOptions),
    (npf.explain, ExplainOptions),
    (open_setup, SetupOptions),
]


@pytest.mark.parametrize(("function", "known"), FUNCTIONS, ids=lambda one: one.__name__)
def test_an_unknown_keyword_is_named_beside_the_known_ones(
    function: Callable[..., Any], known: type
) -> None:
    given = [None] * len([p for p in inspect.signature(function).parameters.values() if p.kind < 3])
    with pytest.raises(TypeError) as caught:
        function(*given, potato=1)
    text = str(caught.value)
    assert text.startswith(f"{function.__name__} has no keyword 'potato': expected one of ")
    assert all(name in text for name in known.__annotations__)


@pytest.mark.parametrize(("function", "known"), FUNCTIONS, ids=lambda one: one.__name__)
def test_help_shows_each_keyword_with_its_default(
    function: Callable[..., Any], known: type
) -> None:
    shown = inspect.signature(function).parameters
    assert set(known.__annotations__) <= set(shown)
    assert "options" not in shown
    assert all(shown[name].kind is inspect.Parameter.KEYWORD_ONLY for name in known.__annotations__)


def test_the_shown_defaults_are_those_that_hold() -> None:
    plain = npf.measure(network(), own_answers(), GAUSSIAN, chips=2)
    shown = {
        name: one.default
        for name, one in inspect.signature(npf.measure).parameters.items()
        if one.default is not one.empty
    }
    spelled = npf.measure(network(), own_answers(), **(shown | {"noise": GAUSSIAN, "chips": 2}))
    assert [row.hits for row in spelled.points[0].rows] == [
        row.hits for row in plain.points[0].rows
    ]
    traces = npf.track(network(), own_answers(), GAUSSIAN, Stream(every=10), images=10)
    assert len(traces[0].chips) == inspect.signature(npf.track).parameters["chips"].default


def test_a_text_of_roles_is_read_as_on_the_command_line() -> None:
    asked = npf.measure(network(), own_answers(), GAUSSIAN, chips=1, targets="bias,kernel")
    assert asked.points[0].rows[0].targets == "kernel,bias"


def test_hits_are_the_same_for_any_number_of_threads_and_rows_say_it() -> None:
    rows = {}
    for threads in (1, 2):
        curve = npf.measure(
            network(), own_answers(), GAUSSIAN, chips=4, device="cpu", threads=threads
        )
        rows[threads] = curve.points[0].rows
        assert {row.threads for row in rows[threads]} == {threads}
    assert [row.hits for row in rows[1]] == [row.hits for row in rows[2]]
    assert torch.get_num_threads() == 1, "as it was before"


WITHOUT_TORCH = """
import sys
from noiseproof.measuring.commands import MeasureRequest
from noiseproof.measuring.requests import Measurement, Network
from noiseproof.specs.noise import parse
asked = Measurement(specs=(parse("gaussian(0.1)"),))
MeasureRequest(network=Network(model="resnet8"), measurement=asked)
sys.exit("torch" in sys.modules)
"""


def test_requests_are_made_without_torch() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_several_ways_share_a_budget_evenly() -> None:
    calibration = Calibration(ways=(None, parse_estimator("batch(10)")))
    request = MeasureRequest(
        network=Network(),
        measurement=Measurement(specs=(GAUSSIAN,), budget=0.02),
        calibration=calibration,
    )
    setup = held(network(), own_answers(), request.network, calibration)
    curves = measure_setup(setup, request)
    assert [curve.points[0].rows[0].recalibrate for curve in curves] == ["off", "batch(10)"]
    assert {row.pace for curve in curves for row in curve.points[0].rows} == {"budget(0.01 s)"}
