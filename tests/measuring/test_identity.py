"""A store is used for the network that it was filled by, and for no other."""

import functools
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import noiseproof as npf
from noiseproof.core.checks import RandomForwardWarning, StoreWarning
from noiseproof.measuring.requests import Subject
from noiseproof.results.activations import SNR
from noiseproof.results.computes import agree
from noiseproof.results.rows import Row, key_of
from noiseproof.results.store import Store
from noiseproof.specs.noise import parse
from tests.measuring.toys import GAUSSIAN, network, own_answers

FIXED = Subject(checkpoint="f" * 64, model="net", data="answers", task="mine")


class Edited(nn.Module):
    """The toy network, with a change of its code in front of it or behind it."""

    def __init__(
        self,
        before: Callable[[Tensor], Tensor] = torch.clone,
        after: Callable[[Tensor], Tensor] = torch.clone,
    ) -> None:
        super().__init__()
        self.net, self.before, self.after = network(), before, after

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.after(self.net(self.before(x)))
        return found


def measured(
    model: nn.Module,
    store: Store | None = None,
    *,
    batch_size: int | None = None,
    compiled: bool = False,
    fresh: bool = False,
    chips: int = 3,
) -> tuple[npf.curves.Curve, int]:
    """The curve, and how many rows were new."""
    new: list[Row] = []
    curve = npf.measure(
        model,
        own_answers(),
        GAUSSIAN.at([0.0, 0.5]),
        chips=chips,
        store=store,
        subject=FIXED,
        batch_size=batch_size,
        compiled=compiled,
        fresh=fresh,
        on_row=lambda row, done, total: new.append(row),
    )
    return curve, len(new)


EDITS: dict[str, Callable[[], nn.Module]] = {
    "an input of zeros": lambda: Edited(before=torch.zeros_like),
    "another activation": lambda: Edited(after=torch.sin),
    "pixels a little brighter": lambda: Edited(before=lambda x: x + 0.05),
    "logits divided": lambda: Edited(after=lambda y: y / 1.1),
}


@pytest.mark.parametrize("edited", EDITS.values(), ids=EDITS.keys())
def test_a_store_is_not_used_for_weights_whose_code_has_changed(
    edited: Callable[[], nn.Module], store: Store
) -> None:
    assert measured(Edited(), store)[1] == 5
    with pytest.warns(StoreWarning, match="7 rows that are not used, since the network of these"):
        assert measured(edited(), store)[1] == 5
    assert measured(Edited(), store)[1] == 0
    assert measured(edited(), store)[1] == 0


def test_batch_size_threads_and_compilation_are_the_same_network(store: Store) -> None:
    measured(Edited(), store)
    assert measured(Edited(), store, batch_size=7)[1] == 0
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert measured(Edited(), store)[1] == 0
    finally:
        torch.set_num_threads(threads)


def old_rows(store: Store, path: Path) -> Store:
    """A store with the same rows as a version wrote them that did not ask what they compute."""
    older = Store(path)
    older.add_all([replace(row, computes="", dice="") for row in store.rows()])
    return older


def test_older_rows_count_where_the_clean_network_scores_what_it_did(
    store: Store, tmp_path: Path
) -> None:
    measured(Edited(), store)
    plain = nn.Sequential(*network())  # the name of its dice is as it always was
    with Store(tmp_path / "now.db") as now:
        measured(plain, now)
        with old_rows(now, tmp_path / "old.db") as older:
            assert measured(plain, older)[1] == 0
            assert [row.computes for row in older.rows()] == [row.computes for row in now.rows()]


def test_older_rows_of_a_network_that_scores_otherwise_are_measured_anew_and_said_to_be(
    store: Store, tmp_path: Path
) -> None:
    measured(network(), store)
    with old_rows(store, tmp_path / "old.db") as older:
        changed = network()
        changed.append(nn.Softmin(1))  # every answer is another one
        with pytest.warns(StoreWarning, match="what their network computed is not known"):
            assert measured(changed, older)[1] == 5
        assert len(older.rows()) == 14


def test_older_rows_of_a_network_with_other_dice_now_are_not_used(
    store: Store, tmp_path: Path
) -> None:
    measured(Edited(), store)
    with (
        old_rows(store, tmp_path / "old.db") as older,
        pytest.warns(StoreWarning, match="measured anew"),
    ):
        assert measured(Edited(), older)[1] == 5


def test_fresh_measures_all_again_in_place_of_the_old_rows(store: Store) -> None:
    measured(Edited(), store)
    before = store.rows()
    store._db.execute("UPDATE measured SET seconds = -1")
    assert measured(Edited(), store, fresh=True)[1] == 5
    assert {key_of(row) for row in store.rows()} == {key_of(row) for row in before}
    assert all(row.seconds >= 0 for row in store.rows())
    with pytest.warns(StoreWarning):
        measured(Edited(after=torch.sin), store, fresh=True)
    assert len(store.rows()) == len(before)  # those of the code before are gone


def test_a_fresh_run_that_stops_has_lost_no_row(store: Store) -> None:
    class StopError(Exception):
        pass

    def stop(row: Row, done: int, total: int) -> None:
        raise StopError

    measured(Edited(), store)
    before = {key_of(row) for row in store.rows()}
    with pytest.raises(StopError):
        npf.measure(
            Edited(),
            own_answers(),
            GAUSSIAN.at([0.0, 0.5]),
            chips=3,
            store=store,
            subject=FIXED,
            fresh=True,
            on_row=stop,
        )
    assert {key_of(row) for row in store.rows()} == before


# --- scores and data of one's own ----------------------------------------------------------------


def own_score(model: nn.Module, test: list[Tensor], sign: int = 1) -> float:
    return sign * float(model(test[0]).softmax(1).max(1).values.mean())


def half_of_it(model: nn.Module, test: list[Tensor]) -> float:
    return own_score(model, test) / 2


def own_rows(
    store: Store, model: nn.Module, score: Callable[[nn.Module, list[Tensor]], float] = own_score
) -> int:
    new: list[Row] = []
    npf.measure(
        model,
        [own_answers().inputs],
        GAUSSIAN,
        chips=2,
        store=store,
        score=score,
        subject=FIXED,
        on_row=lambda row, done, total: new.append(row),
    )
    return len(new)


def test_a_score_and_data_of_ones_own_are_told_apart_by_what_they_score(store: Store) -> None:
    assert own_rows(store, network()) == 3
    assert own_rows(store, network()) == 0
    with pytest.warns(StoreWarning, match="computes something else"):
        assert own_rows(store, Edited(after=lambda y: 3 * y)) == 3
    for changed in (half_of_it, functools.partial(own_score, sign=-1)):
        with pytest.warns(StoreWarning, match="computes something else"):
            assert own_rows(store, network(), changed) == 3


# --- texts ---------------------------------------------------------------------------------------


def test_texts_agree_within_rounding_and_only_under_one_structure() -> None:
    text = "abc 0.01 2:1,-1,0.5"
    assert agree(text, "abc 0.01 2.01:1.015,-0.99,0.5")
    assert not agree(text, "abc 0.01 2:1.03,-1,0.5")
    assert not agree(text, "abc 0.01 2.1:1,-1,0.5")
    assert not agree(text, "abd 0.01 2:1,-1,0.5")
    assert not agree(text, "abc 0.01 2:1,-1")
    assert not agree(text, "")
    assert agree("", "")


# --- networks that are random by themselves ------------------------------------------------------


class Dropping(nn.Module):
    """The toy network with dropout that is left on, by torch, numpy, Python, or dice of its own."""

    def __init__(self, source: str = "torch") -> None:
        super().__init__()
        self.net, self.source = network(), source
        self.own = np.random.default_rng(0)

    def forward(self, x: Tensor) -> Tensor:
        kept = {
            "torch": lambda: torch.rand(x.shape) > 0.4,
            "numpy": lambda: torch.from_numpy(np.random.rand(*x.shape)) > 0.4,
            "python": lambda: torch.tensor(random.random()),
            "its own": lambda: torch.from_numpy(self.own.random(x.shape)) > 0.4,
        }[self.source]()
        found: Tensor = self.net(x * kept)
        return found


@pytest.mark.parametrize("source", ["torch", "numpy", "python"])
def test_a_random_forward_pass_is_told_repeatable_and_has_an_interval_without_noise(
    source: str,
) -> None:
    with pytest.warns(RandomForwardWarning, match="two passes of the same inputs through this D"):
        curve, _ = measured(Dropping(source), chips=5)
    still = curve.points[0]
    assert still.level == 0
    assert len(set(still.by_chip)) > 1
    assert still.score.low < still.score.high
    torch.rand(3)
    with pytest.warns(RandomForwardWarning):
        again, _ = measured(Dropping(source), chips=7)
    assert again.points[0].by_chip[:5] == still.by_chip


def test_the_clean_score_of_a_random_network_is_the_mean_of_passes_with_its_spread(
    store: Store,
) -> None:
    with pytest.warns(RandomForwardWarning):
        curve, new = measured(Dropping(), store, chips=4)
    assert new == 10 + 8
    passes = [row.score for row in store.rows() if row.noise == "none"]
    assert len(set(passes)) > 1
    clean = npf.stats.t_interval(passes)
    assert curve.clean.score == pytest.approx(clean.mean)
    noisy, share = curve.points[1].score, curve.points[1].normalised
    plain = (noisy.high - noisy.mean) / clean.mean
    error = noisy.mean * (clean.high - clean.mean) / clean.mean**2
    assert share.mean == pytest.approx(noisy.mean / clean.mean)
    assert share.high - share.mean == pytest.approx((plain**2 + error**2) ** 0.5)
    assert "the mean of 10 passes that differ (+- " in str(curve)


def test_the_clean_score_beside_a_stream_is_that_mean_too(store: Store) -> None:
    with pytest.warns(RandomForwardWarning):
        (trace,) = npf.track(
            Dropping(),
            own_answers(),
            parse("gaussian(0.3)"),
            npf.specs.parse_stream("redraw(every=30)"),
            chips=1,
            store=store,
            subject=Subject(task="classify", data="numbers"),
        )
    passes = [row.score for row in store.rows() if row.noise == "none"]
    assert len(passes) == 10
    assert trace.clean is not None
    assert trace.clean.score == pytest.approx(sum(passes) / 10)


def test_a_random_network_is_explained_by_the_chip_alone() -> None:
    with pytest.warns(RandomForwardWarning):
        found = npf.explain(Dropping(), own_answers(), parse("gaussian(1e-9)"), chips=2)
    # Without the same dice on both sides dropout alone would leave it at a few dB.
    assert found.ways[0].values[SNR.key].min() > 100


def test_random_networks_are_tracked_and_ranked_repeatably() -> None:
    def tracked() -> list[float]:
        with pytest.warns(RandomForwardWarning):
            (trace,) = npf.track(
                Dropping(), own_answers(), GAUSSIAN, npf.streams.Stream(every=20), chips=2
            )
        return [row.score for row in trace.rows]

    def ranked() -> list[float]:
        with pytest.warns(RandomForwardWarning):
            ranking = npf.rank_layers(Dropping(), own_answers(), GAUSSIAN, chips=3, keep=(1,))
        return [group.drop.mean for group in ranking.groups]

    assert tracked() == tracked()
    assert ranked() == ranked()


def test_a_network_that_draws_without_being_random_is_not_called_random() -> None:
    class Drawing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = network()

        def forward(self, x: Tensor) -> Tensor:
            torch.rand(3)
            found: Tensor = self.net(x)
            return found

    curve, _ = measured(Drawing())
    assert len(set(curve.points[0].by_chip)) == 1


def test_a_network_with_dice_of_its_own_is_told_that_no_two_runs_agree() -> None:
    with pytest.warns(RandomForwardWarning, match="no two runs will agree"):
        measured(Dropping("its own"))
