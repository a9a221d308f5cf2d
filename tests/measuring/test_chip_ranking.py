"""Layers ranked on whole chips, against a literal loop: perturb one layer, score, put it back."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from noiseproof.core.checks import RandomForwardWarning
from noiseproof.core.rng import seeded, stream
from noiseproof.data.splits import Boxes, Split
from noiseproof.measuring.sensitivity import rank_layers
from noiseproof.network.chip import Chip, outputs
from noiseproof.network.state import places, skeleton_of, state_of
from noiseproof.noise.perturbation import perturb
from noiseproof.results.rows import Row
from noiseproof.results.sensitivity import Ranking
from noiseproof.results.store import Store
from noiseproof.specs.noise import parse
from noiseproof.tasks.table import TASKS

CHIPS, SEED = 4, 7
FRESH = 1_000_000


class Masks(nn.Module):
    """A segmenter whose normalisation folds away."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 6, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.body = nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.ReLU())
        self.head = nn.Conv2d(6, 3, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"out": self.head(self.body(torch.relu(self.norm(self.stem(x)))))}


class Detector(nn.Module):
    """A box for each image, where a small network says."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.head = nn.Linear(4, 6)

    def forward(self, x: Tensor) -> list[dict[str, Tensor]]:
        found = self.head(torch.relu(self.conv(x)).mean((2, 3)))
        corner = found[:, :2].sigmoid() * 4
        boxes = torch.cat([corner, corner + 2 + found[:, 2:4].sigmoid()], dim=1)
        label = (found[:, 4] > 0).long() + 1
        scores = found[:, 5].sigmoid()
        return [
            {"boxes": b[None], "labels": n[None], "scores": s[None]}
            for b, n, s in zip(boxes, label, scores, strict=True)
        ]


class Branching(nn.Module):
    """A classifier whose inputs decide which layers are called, and in which order."""

    def __init__(self) -> None:
        super().__init__()
        self.front = nn.Linear(6, 6)
        self.a, self.b = nn.Linear(6, 6), nn.Linear(6, 6)
        self.head = nn.Linear(6, 3)
        self.never = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.front(x)
        first, second = (self.a, self.b) if float(x.sum()) > 0 else (self.b, self.a)
        out: Tensor = self.head(second(torch.relu(first(x))))
        return out


class Remembering(nn.Module):
    """A classifier whose first layer leaves something for the last one besides what it returns."""

    def __init__(self) -> None:
        super().__init__()
        self.front, self.middle, self.head = nn.Linear(6, 6), Skip(), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        self.middle.kept = self.front(x)
        out: Tensor = self.head(self.middle(torch.tanh(self.middle.kept)))
        return out


class Skip(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = Keeper()
        self.outer = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        y = self.inner(x)
        out: Tensor = self.outer(y) + self.inner.memory
        return out


class Keeper(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        self.memory = x.square()
        return x + 1


def network(make: type[nn.Module]) -> nn.Module:
    with seeded(1, "network"):
        net = make().eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.copy_(torch.linspace(-0.2, 0.3, 6))  # type: ignore[union-attr]
            module.running_var.copy_(torch.linspace(0.5, 2, 6))  # type: ignore[union-attr]
    return net


def split_for(net: nn.Module, shape: Sequence[int], n: int = 22) -> Split:
    """Inputs with what the clean network says of most of them as labels."""
    x = torch.randn(n, *shape, generator=stream(0, "inputs"))
    with torch.no_grad():
        found = net(x)
    if isinstance(found, list):
        return Split(
            inputs=x, labels=[Boxes(corners=one["boxes"], classes=one["labels"]) for one in found]
        )
    logits = found["out"] if isinstance(found, dict) else found
    return Split(inputs=x, labels=logits.argmax(1).to(torch.uint8 if logits.dim() > 2 else None))


GLOBAL = "stuck(0.1) + gaussian(0.2, scope=global)"
FORMS: dict[str, tuple[type[nn.Module], tuple[int, ...], str, tuple[str, ...]]] = {
    "segmentation": (Masks, (1, 8, 8), "gaussian(0.6)", ("kernel",)),
    "segmentation, statistics": (Masks, (1, 8, 8), "lognormal(0.6)", ("kernel", "norm_stats")),
    "detection": (Detector, (1, 8, 8), "gaussian(0.5)", ("kernel", "bias")),
    "one-sided noise": (Branching, (6,), "lognormal(0.9)", ("kernel",)),
    "stuck and quantised": (Remembering, (6,), "stuck(0.3) + quantize(bits=3)", ("kernel",)),
    "global reference": (
        Remembering,
        (6,),
        "stuck(0.1) + gaussian(0.2, scope=global)",
        ("kernel",),
    ),
}


def ranked(form: str, path: Path | None = None, **options: Any) -> tuple[Ranking, nn.Module, Split]:
    make, shape, noise, targets = FORMS[form]
    net = network(make)
    split = split_for(net, shape)
    usual: dict[str, Any] = {"chips": CHIPS, "seed": SEED, "batch_size": 5, "keep": (1,)}
    given = usual | {"targets": targets} | options
    if path is None:
        return rank_layers(net, split, parse(noise), **given), net, split
    with Store(path) as store:
        return rank_layers(net, split, parse(noise), store=store, **given), net, split


def rows_of(path: Path) -> list[Row]:
    with Store(path, read_only=True) as store:
        return [replace(row, seconds=0.0) for row in store.rows()]


def literal_score(
    form: str, net: nn.Module, split: Split, layers: Sequence[str], chip: int
) -> float:
    """The slow reference: the chip with noise in those layers, batch by batch, from scratch."""
    _, _, noise, targets = FORMS[form]
    state, where = state_of(net), places(net)
    only = {name for name in state if name.rpartition(".")[0] in layers}
    noisy = perturb(state, where, parse(noise), targets=targets, only=only, seed=SEED, chip=chip)
    skeleton = skeleton_of(net)
    task = TASKS[split.task]
    return task.evaluate(lambda x: outputs(skeleton, Chip(noisy), x), split, 5).score


@pytest.mark.parametrize("form", FORMS)
def test_each_row_is_the_score_of_a_literal_loop_over_layers(form: str, tmp_path: Path) -> None:
    ranking, net, split = ranked(form, tmp_path / "r.db")
    rows = rows_of(tmp_path / "r.db")
    layers = {group.name for group in ranking.groups}
    alone = [row for row in rows if row.part.startswith("only:")]
    assert len(alone) == CHIPS * len(layers)
    assert {row.design for row in alone} == {"chips"}
    changed = set()
    for row in alone:
        expected = literal_score(form, net, split, [row.part.rpartition(":")[2]], row.chip)
        assert row.score == pytest.approx(expected, abs=1e-12), row.part
        changed |= {row.part} if abs(expected - ranking.clean.score) > 1e-9 else set()
    assert len(changed) > 1  # the oracle has something to say
    best = ranking.groups[0].name
    but = [row for row in rows if row.part.startswith("but:")]
    assert sorted({row.chip for row in but}) == [FRESH + chip for chip in range(CHIPS)]
    for row in but:
        noisy = layers - ({best} if row.part.endswith(best) else set())
        expected = literal_score(form, net, split, sorted(noisy), row.chip)
        assert row.score == pytest.approx(expected, abs=1e-12), row.part


def test_drops_are_the_means_of_the_literal_losses_with_t_over_chips() -> None:
    ranking, net, split = ranked("detection")
    clean = literal_score("detection", net, split, [], 0)
    for group in ranking.groups:
        lost = torch.tensor(
            [
                clean - literal_score("detection", net, split, [group.name], chip)
                for chip in range(CHIPS)
            ],
            dtype=torch.float64,
        )
        half = 3.182446305284263 * float(lost.std()) / CHIPS**0.5  # t of 3 degrees at 97.5 %
        assert group.drop.mean == pytest.approx(float(lost.mean()))
        assert group.drop.mean - group.drop.low == pytest.approx(half)
    assert ranking.units == CHIPS
    assert ranking.whom == "new chips, this test set"


def test_more_chips_keep_the_first_ones_and_a_killed_run_goes_on(tmp_path: Path) -> None:
    ranked("segmentation", tmp_path / "whole.db", chips=5)
    expected = {(row.part, row.chip): row for row in rows_of(tmp_path / "whole.db")}
    killed = tmp_path / "killed.db"
    for after in (1, 6, 17):

        def stop(row: Row, done: int, total: int, after: int = after) -> None:
            if len(rows_of(killed)) >= after:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            ranked("segmentation", killed, chips=5, on_row=stop)
        assert len(rows_of(killed)) == after
    ranked("segmentation", killed, chips=5)
    assert {(row.part, row.chip): row for row in rows_of(killed)} == expected
    fewer = tmp_path / "fewer.db"
    ranked("segmentation", fewer, chips=3)
    first = {(row.part, row.chip): row for row in rows_of(fewer)}
    assert all(expected[name] == row for name, row in first.items() if name in expected)
    assert sum(name in expected for name in first) >= 1 + 3 * 3 + 3


def test_noise_without_dice_is_measured_once() -> None:
    seen: list[Row] = []
    net = network(Remembering)
    exact = rank_layers(
        net,
        split_for(net, (6,)),
        parse("quantize(bits=2)"),
        chips=3,
        keep=(1,),
        on_row=lambda row, done, total: seen.append(row),
    )
    assert len(seen) == 1 + 3 + 2  # clean, three layers, two numbers of layers
    assert all(group.drop.low == group.drop.high for group in exact.groups)


@pytest.mark.parametrize(
    ("form", "options", "said"),
    [
        ("segmentation", {"chips": None}, "design chips: the score is not a mean over single im"),
        ("one-sided noise", {"chips": None}, "design chips: per-image chips do not hold for log"),
        ("detection", {}, "design chips: 4 chips were asked for"),
    ],
)
def test_it_says_which_design_it_takes_and_why(
    form: str, options: dict[str, Any], said: str
) -> None:
    heard: list[str] = []
    ranked(form, on_design=heard.append, **options)
    assert heard[0].startswith(said)


def test_the_cost_is_said_before_it_is_paid_and_not_for_what_is_there(tmp_path: Path) -> None:
    heard: list[str] = []
    ranked("segmentation", tmp_path / "r.db", on_design=heard.append)
    # 3 layers and 2 numbers of them, 4 chips each: 20. On 64 pixels stem, body and head are 54, 324
    # and 18 products: the head begins at 378 of 396, the body, recorded once more, saves nothing.
    assert heard[1].startswith("cost: 20 passes over all images, the work of about 17 since chips")
    heard.clear()
    ranked("segmentation", tmp_path / "r.db", on_design=heard.append)
    assert len(heard) == 1


def test_auto_takes_images_on_chips_of_their_own_where_they_hold() -> None:
    net = network(Remembering)
    split = split_for(net, (6,), 40)
    heard: list[str] = []
    ranking = rank_layers(net, split, parse("gaussian(0.5)"), keep=(0,), on_design=heard.append)
    assert heard[0].startswith("design per-image(10): the noise is symmetric")
    assert ranking.is_per_image


class Counted(nn.Module):
    """Passes on what it gets and counts the samples."""

    seen = 0

    def forward(self, x: Tensor) -> Tensor:
        Counted.seen += len(x)
        return x + 0


@pytest.mark.parametrize("make", [lambda: nn.Linear(6, 6), Keeper])
def test_a_group_late_in_the_network_costs_its_own_part(make: Callable[[], nn.Module]) -> None:
    """Of 10 chips the last layer's passes see the counter in front of it once while the clean pass
    is recorded, and where one batch of the first two chips is checked."""
    with seeded(0, "counted"):
        net = nn.Sequential(make(), nn.Linear(6, 40), Counted(), nn.Linear(40, 3)).eval()
    x = torch.randn(40, 6, generator=stream(0, "x"))
    split = Split(inputs=x, labels=torch.zeros(40, dtype=torch.int64))
    seen: list[tuple[str, int]] = []
    rank_layers(
        net,
        split,
        parse("lognormal(0.3)"),
        chips=10,
        batch_size=10,
        keep=(0,),
        on_row=lambda row, done, total: seen.append((row.part, Counted.seen)),
    )
    passed = dict(seen)
    before = passed["only:layer:1"]
    assert passed["only:layer:3"] - before == 40 + 2 * 10


class Restless(nn.Module):
    """A classifier that is random by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.front, self.head = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(nn.functional.dropout(torch.relu(self.front(x)), 0.5, True))
        return out


def test_of_a_network_that_is_random_by_itself_every_pass_is_another_and_repeatable(
    tmp_path: Path,
) -> None:
    net = network(Restless)
    x = torch.randn(30, 6, generator=stream(0, "restless"))
    split = Split(inputs=x, labels=(x.sum(1) > 0).long())
    found = []
    for name in ("first", "second"):
        with Store(tmp_path / name) as store, pytest.warns(RandomForwardWarning):
            ranking = rank_layers(
                net, split, parse("quantize(bits=8)"), chips=6, keep=(0,), store=store
            )
        found.append(rows_of(tmp_path / name))
    assert found[0] == found[1]
    assert len({row.score for row in found[0] if row.part == "only:layer:head"}) > 1
    assert ranking.groups[-1].drop.low < 0 < ranking.groups[-1].drop.high
    assert ranking.clean_accuracy.low < ranking.clean_accuracy.mean < ranking.clean_accuracy.high
