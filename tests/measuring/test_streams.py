"""Noise that changes with time: every window is what a literal loop gives, and a chip resumes."""

import contextlib
import copy
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import noiseproof as npf
from noiseproof.core.checks import NoEffectWarning
from noiseproof.core.rng import stream
from noiseproof.core.seeds import derived
from noiseproof.data.splits import Split
from noiseproof.measuring.evaluator import Evaluator
from noiseproof.measuring.streams import track, wandered
from noiseproof.network.chip import Chip
from noiseproof.network.state import places, state_of
from noiseproof.noise.perturbation import perturb
from noiseproof.results.rows import Row, key_of
from noiseproof.results.store import Store
from noiseproof.results.streams import Trace
from noiseproof.specs.catalog import UNSCALED
from noiseproof.specs.noise import parse
from noiseproof.specs.streams import WANDERS_WITHIN, Stream
from noiseproof.tasks.evaluation import evaluate
from tests.measuring.toys import network, own_answers

GAUSSIAN = parse("gaussian(0.8, reference=std)")
CALIBRATION = torch.randn(30, 2, 5, 5, generator=stream(1, "calibration"))
REDRAW = Stream(every=20)
OFTEN = ("off", "ema(0.3, batch=8)", "batch(10)", "pooled(30)", "blend(10, prior=20)")


def order(n: int = 100, seed: int = 0) -> Tensor:
    return torch.randperm(n, generator=stream(seed, "track order"))


def chip_state(chip: int, change: int, seed: int = 0) -> dict[str, Tensor]:
    net = network()
    return perturb(
        state_of(net),
        places(net),
        GAUSSIAN,
        seed=derived(seed, "redraw", change) if change else seed,
        chip=chip,
    )


def module_of(state: dict[str, Tensor]) -> nn.Sequential:
    net = network()
    net.load_state_dict({**net.state_dict(), **state})
    return net  # type: ignore[return-value]


def scores(trace: Trace, chip: int = 0) -> tuple[float, ...]:
    return trace.scores[0, chip]


def followed(text: str, **options: object) -> Trace:
    given = {"calibration": CALIBRATION, "images": 80, "window": 10, "chips": 2}
    (trace,) = track(
        network(),
        own_answers(100),
        GAUSSIAN,
        REDRAW,
        recalibrate=text,
        **(given | options),  # type: ignore[arg-type]
    )
    return trace


# --- against literal loops ------------------------------------------------------------------------


def test_frozen_statistics_give_each_windows_images_on_each_windows_chip() -> None:
    trace, test = followed("off"), own_answers(100)
    assert trace.positions == tuple(range(0, 80, 10))
    for chip in (0, 1):
        for window, score in enumerate(scores(trace, chip)):
            part = test.take(order()[10 * window : 10 * window + 10])
            state = chip_state(chip, 10 * window // 20)
            literal = evaluate(module_of(state), part, scale=UNSCALED, batch_size=3)
            assert score == literal.score
    assert len(set(scores(trace, 0))) > 1


def test_before_the_first_change_a_chip_is_that_of_measure() -> None:
    trace, test = followed("off"), own_answers(100)
    part = test.take(order()[:10])
    curve = npf.measure(network(), part, GAUSSIAN, chips=2)
    assert curve.points[0].by_chip == (scores(trace, 0)[0], scores(trace, 1)[0])


def moved(net: nn.Sequential, part: Tensor, momentum: float) -> None:
    """The layer's statistics after a batch, in float64."""
    rows = net[0](part).double().movedim(1, 0).flatten(1)
    norm = net[1]
    mean = (1 - momentum) * norm.running_mean.double() + momentum * rows.mean(1)
    var = (1 - momentum) * norm.running_var.double() + momentum * rows.var(1, correction=0)
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(var)


@pytest.mark.parametrize(("momentum", "size"), [(0.3, 8), (0.05, 3)])
def test_a_moving_average_goes_on_over_windows_and_changes(momentum: float, size: int) -> None:
    """The weights change under it, the statistics stay: the plainest loop."""
    trace, test = followed(f"ema({momentum}, batch={size})"), own_answers(100)
    for chip in (0, 1):
        statistics: dict[str, Tensor] = {}
        for window, score in enumerate(scores(trace, chip)):
            net = module_of(chip_state(chip, 10 * window // 20) | statistics)
            part, hits = test.take(order()[10 * window : 10 * window + 10]), []
            with torch.no_grad():
                for images, labels in zip(
                    part.inputs.split(size), part.labels.split(size), strict=True
                ):
                    moved(net, images, momentum)
                    hits += (net(images).argmax(1) == labels).tolist()
            statistics = {
                name: net.state_dict()[name].clone() for name in ("1.running_mean", "1.running_var")
            }
            assert score == np.mean(hits)


def test_each_batch_by_its_own_statistics_forgets_what_was_before() -> None:
    trace, test = followed("batch(10)"), own_answers(100)
    for window, score in enumerate(scores(trace)):
        net = module_of(chip_state(0, 10 * window // 20))
        part = test.take(order()[10 * window : 10 * window + 10])
        with torch.no_grad():
            moved(net, part.inputs, 1.0)
            assert score == (net(part.inputs).argmax(1) == part.labels).double().mean()


@pytest.mark.parametrize("period", [10, 20, 40, 80])
def test_pooled_statistics_stay_until_they_are_computed_again(period: int) -> None:
    """With a period of two changes every second chip runs with the statistics of the one before."""
    trace, test = followed("pooled(30)", period=period), own_answers(100)
    for window, score in enumerate(scores(trace)):
        at = 10 * window
        fitted = module_of(chip_state(0, (at - at % period) // 20))
        with torch.no_grad():
            moved(fitted, CALIBRATION, 1.0)
        net = module_of(chip_state(0, at // 20))
        net[1].running_mean.copy_(fitted[1].running_mean)
        net[1].running_var.copy_(fitted[1].running_var)
        part = test.take(order()[at : at + 10])
        assert score == evaluate(net, part, scale=UNSCALED, batch_size=10).score
    assert trace.first.recalibrate == f"pooled(30) every {period}"
    extra = [row.extra_images for row in trace.rows if row.chip == 0]
    assert extra == [30 if at % period == 0 else 0 for at in range(0, 80, 10)]


def test_a_level_that_wanders_keeps_the_dice() -> None:
    changes, test = Stream(every=20, wander=0.4), own_answers(100)
    (trace,) = track(network(), test, GAUSSIAN, changes, images=80, window=10, chips=2)
    net = network()
    for chip in (0, 1):
        for window, score in enumerate(scores(trace, chip)):
            spec = GAUSSIAN.at(wandered(0.8, 0.4, 0, chip, 10 * window // 20))
            state = perturb(state_of(net), places(net), spec, seed=0, chip=chip)
            part = test.take(order()[10 * window : 10 * window + 10])
            assert score == evaluate(module_of(state), part, scale=UNSCALED, batch_size=9).score


def test_a_stream_that_is_longer_than_the_test_set_begins_again() -> None:
    (trace,) = track(network(), own_answers(30), GAUSSIAN, Stream(every=90), images=90, window=15)
    first = scores(trace)
    assert first[:2] == first[2:4] == first[4:6]


def test_ways_to_recalibrate_see_the_same_noise_and_the_same_images(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: dict[str, list[tuple[bytes, bytes]]] = {}
    score = Evaluator.scored

    def watched(evaluator: Evaluator, chip: Chip, test: Split) -> object:
        name = str(evaluator.estimator)
        pair = (test.inputs.numpy().tobytes(), chip.state["0.weight"].numpy().tobytes())
        seen.setdefault(name, []).append(pair)
        return score(evaluator, chip, test)

    monkeypatch.setattr(Evaluator, "scored", watched)
    traces = track(
        network(), own_answers(100), GAUSSIAN, REDRAW, recalibrate=OFTEN, calibration=CALIBRATION,
        images=60, window=10, chips=2,
    )  # fmt: skip
    assert [t.first.recalibrate.split(" every")[0] for t in traces] == list(OFTEN)
    first = seen["None"]
    assert all(found == first for found in seen.values())
    assert len({weights for _, weights in first}) == 2 * 3, "two chips, three draws each"
    assert len({images for images, _ in first}) == 6, "the order is the same for all chips"


# --- what comes back ------------------------------------------------------------------------------


def test_defaults_are_ten_changes_and_a_window_for_each() -> None:
    traces = track(network(), own_answers(100), GAUSSIAN, Stream(every=5), recalibrate=("off", "0"))
    assert len(traces) == 1, "a way that is named twice is followed once"
    assert traces[0].positions == tuple(range(0, 50, 5))
    assert len(traces[0].chips) == 10
    assert traces[0].first.stream == "redraw(every=5)"


def test_more_chips_and_longer_streams_keep_what_is_there() -> None:
    short, long = followed("ema(0.2, batch=4)"), followed("ema(0.2, batch=4)", images=100, chips=3)
    for chip in (0, 1):
        assert scores(long, chip)[:8] == scores(short, chip)


def test_the_model_is_left_as_it_is() -> None:
    net = network().train()
    before = copy.deepcopy(net.state_dict())
    track(
        net,
        own_answers(100),
        GAUSSIAN,
        REDRAW,
        recalibrate=OFTEN,
        calibration=CALIBRATION,
        images=40,
    )
    assert all(m.training for m in net.modules())
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert not any(m._forward_pre_hooks for m in net.modules())


def test_noise_or_recalibration_without_effect_is_said() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(50, 4, bias=False))
    with pytest.warns(NoEffectWarning, match="on bias changes no tensor of this model") as caught:
        track(net, own_answers(100), GAUSSIAN, REDRAW, targets=("bias",), chips=1)
    assert caught[0].filename == __file__
    with pytest.warns(NoEffectWarning, match=r"nothing that ema\(0.1, batch=128\) could"):
        (ema,) = track(net, own_answers(100), GAUSSIAN, REDRAW, recalibrate="ema(0.1)", chips=2)
    (off,) = track(net, own_answers(100), GAUSSIAN, REDRAW, chips=2)
    assert ema.scores == off.scores


def test_a_segmenter_is_followed_by_its_own_score() -> None:
    images = torch.randn(20, 1, 6, 6, generator=stream(0, "scenes"))
    with npf.rng.seeded(0, "segmenter"):
        net = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2)).eval()
    with torch.no_grad():
        test = Split(inputs=images, labels=net(images).argmax(1).to(torch.uint8))
    (trace,) = track(net, test, GAUSSIAN, Stream(every=10), images=40, chips=2)
    assert trace.metric == "mIoU"
    assert 0 < trace.overall.mean < 1


# --- the store ------------------------------------------------------------------------------------


def results(rows: list[Row]) -> set[tuple[object, ...]]:
    return {(*key_of(row), row.images, row.hits, row.extra_images) for row in rows}


def run(path: Path, *, stop_at: int = 0, **options: object) -> list[int]:
    """Follow two chips in two ways; returns the counts that were reported."""

    class StopError(Exception):
        pass

    reported: list[int] = []

    def on_row(row: Row, done: int, total: int) -> None:
        assert total == 2 * 2 * 6
        reported.append(done)
        if done == stop_at:
            raise StopError

    with Store(path) as store, contextlib.suppress(StopError):
        track(
            network(), own_answers(100), GAUSSIAN, REDRAW,
            **({"recalibrate": ("off", "ema(0.3, batch=4)"), "images": 60, "window": 10,
                "chips": 2, "store": store, "on_row": on_row} | options),  # type: ignore[arg-type]
        )  # fmt: skip
    return reported


def rows_in(path: Path) -> list[Row]:
    with Store(path, read_only=True) as store:
        return store.rows()


def test_a_track_that_is_killed_in_the_middle_of_a_chip_resumes_to_the_same_rows(
    tmp_path: Path,
) -> None:
    assert run(tmp_path / "whole.db") == list(range(1, 25))
    whole = results(rows_in(tmp_path / "whole.db"))
    assert len(whole) == 24 + 1, "and the clean network"
    for stop_at in (1, 6, 9, 15, 23):
        path = tmp_path / f"{stop_at}.db"
        assert run(path, stop_at=stop_at) == list(range(1, stop_at + 1))
        early = rows_in(path)
        assert results(early) < whole
        assert run(path)[0] == stop_at - stop_at % 6 + 1, "it goes on with the chip it was at"
        assert results(rows_in(path)) == whole
        assert rows_in(path)[: len(early)] == early, "what was measured is kept"


def test_a_second_run_follows_nothing_and_gives_the_same_traces(tmp_path: Path) -> None:
    run(tmp_path / "r.db")
    before = rows_in(tmp_path / "r.db")
    assert run(tmp_path / "r.db") == []
    assert rows_in(tmp_path / "r.db") == before
    assert npf.traces.traces_of(before)[0].scores == scores_of_off()


def scores_of_off() -> dict[tuple[int, int], tuple[float, ...]]:
    return followed("off", images=60).scores


def test_other_streams_and_other_windows_of_the_same_share_a_store(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    for window, rows in ((20, 12), (10, 24)):
        before = rows_in(path) if path.exists() else []
        with Store(path) as store:
            ways = ("off", "ema(0.3, batch=4)")
            traces = track(
                network(), own_answers(100), GAUSSIAN, REDRAW, recalibrate=ways, images=60,
                window=window, chips=2, store=store,
            )  # fmt: skip
        assert {row.images for trace in traces for row in trace.rows} == {window}
        assert rows_in(path)[: len(before)] == before
        assert len(rows_in(path)) == (len(before) or 1) + rows, "and the clean network, once"
    off = npf.traces.traces_of(rows_in(path))
    coarse, fine = (t for t in off if t.first.recalibrate == "off")
    halves = np.array(scores(fine)).reshape(-1, 2).mean(1)
    assert halves == pytest.approx(np.array(scores(coarse)))
    with Store(path) as store:
        for options in ({"seed": 1}, {"targets": ("bias",)}, {"period": 10}):
            track(
                network(), own_answers(100), GAUSSIAN, REDRAW, recalibrate="pooled(30)",
                calibration=CALIBRATION, images=20, window=10, chips=1, store=store,
                **options,  # type: ignore[arg-type]
            )  # fmt: skip
        track(network(), own_answers(100), GAUSSIAN, Stream(every=20, wander=0.1), images=20,
              window=5, chips=1, store=store)  # fmt: skip
    assert len(rows_in(path)) == 1 + 12 + 24 + 3 * 2 + 4


# --- what is refused ------------------------------------------------------------------------------

REFUSED: dict[str, tuple[dict[str, object], str]] = {
    "window and every": ({"window": 15}, "every must be a multiple of window 15, got 20"),
    "window and images": ({"images": 70, "window": 20}, "images must be a multiple of window 20"),
    "window and period": ({"period": 30, "window": 20}, "period must be a multiple of window 20"),
    "no window": ({"window": 0}, "window must be >= 1, got 0"),
    "no images": ({"images": 0}, "images must be >= 1, got 0"),
    "no period": ({"period": 0}, "period must be >= 1, got 0"),
    "no chips": ({"chips": 0}, "chips must be >= 1, got 0"),
    "no batch": ({"batch_size": 0}, "batch size must be >= 1, got 0"),
    "match": (
        {"recalibrate": ("off", "match(10)")},
        r"match\(10\) cannot be tracked: its corrections are folded into weights that change",
    ),
    "no way": ({"recalibrate": ()}, "recalibrate must name at least one way, got none"),
    "too many": ({"recalibrate": "pooled(31)"}, "needs 31 calibration images, got 30"),
    "unknown way": ({"recalibrate": "foo(3)"}, "unknown recalibration 'foo'"),
    "no such target": ({"targets": ("weights",)}, "unknown target 'weights'"),
    "statistics": ({"targets": ("kernel", "norm_stats")}, "norm_stats cannot get noise that chan"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_followed_is_one_sentence_before_anything_runs(kind: str) -> None:
    options, sentence = REFUSED[kind]

    def never(row: Row, done: int, total: int) -> None:
        raise AssertionError("a row was measured")

    given = {"calibration": CALIBRATION, "on_row": never}
    with pytest.raises(ValueError, match=sentence) as caught:
        track(network(), own_answers(100), GAUSSIAN, REDRAW, **(given | options))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("noise", "wander", "sentence"),
    [
        ("gaussian(0.0)", None, "noise that changes needs a level above 0"),
        ("quantize(bits=4)", None, "noise that changes needs a level above 0"),
        ("none", None, "noise that changes needs a level above 0, got none"),
        ("stuck(0.1) + gaussian(0.0)", 0.1, "has no level that could wander"),
        ("stuck(0.7)", 0.1, r"stuck\(0.7, at=zero\) may wander up to 1.4: p must be"),
    ],
)
def test_noise_that_cannot_change_is_refused(
    noise: str, wander: float | None, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        track(network(), own_answers(100), parse(noise), Stream(every=10, wander=wander))


# --- the walk of the level ------------------------------------------------------------------------


@given(
    st.floats(1e-3, 10), st.floats(1e-3, 100), st.integers(0, 2**40), st.integers(0, 99),
    st.integers(0, 60),
)  # fmt: skip
def test_a_level_stays_between_half_and_twice_its_start(
    start: float, wander: float, seed: int, chip: int, change: int
) -> None:
    level = wandered(start, wander, seed, chip, change)
    assert start / WANDERS_WITHIN * (1 - 1e-12) <= level <= start * WANDERS_WITHIN * (1 + 1e-12)
    assert level == wandered(start, wander, seed, chip, change)


def test_the_walk_has_the_steps_of_a_normal_law_as_long_as_it_meets_no_end() -> None:
    """More steps keep the prefix: what is added is one step of the law that is asked. Of 3,900
    steps the mean square is chi-square over its degrees of freedom: beyond 6.5 sd with a chance
    below 1e-6, and steps of half the size would be 33 sd off."""
    wander, n = 1e-3, 40
    walks = [[math.log(wandered(1.0, wander, 7, chip, k)) for k in range(n)] for chip in range(100)]
    steps = np.array([b - a for walk in walks for a, b in itertools.pairwise(walk)]) / wander
    sd = math.sqrt(2 / len(steps))
    assert abs(np.mean(steps**2) - 1) < 6.5 * sd
    assert 6.5 * sd < 0.75
    assert abs(np.mean(steps)) < 5.5 / math.sqrt(len(steps))
    assert walks[0] != walks[1], "chips walk on their own"


def test_the_walk_is_reflected_at_its_ends() -> None:
    """Against an obvious loop that turns back at each end."""
    edge = math.log(2)
    for wander, chip in ((0.5, 0), (0.5, 1), (2.0, 2), (9.0, 3)):
        dice, place = stream(3, "wander", chip), 0.0
        turned = 0
        for change in range(1, 40):
            place += wander * float(torch.randn((), generator=dice, dtype=torch.float64))
            while abs(place) > edge:
                place = math.copysign(2 * edge, place) - place
                turned += 1
            assert wandered(0.3, wander, 3, chip, change) == pytest.approx(0.3 * math.exp(place))
        assert turned > 3


def test_without_a_change_the_level_is_its_start() -> None:
    assert wandered(0.3, 0.5, 0, 0, 0) == 0.3
