"""Layers ranked by noise in one of them alone, against literal chips, image by image."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats as sps
from torch import Tensor, nn

import noiseproof as npf
from noiseproof.core.checks import NoEffectWarning
from noiseproof.core.rng import stream
from noiseproof.data.splits import Split
from noiseproof.measuring.groups import TensorGroup, groups_of
from noiseproof.measuring.sensitivity import rank_layers
from noiseproof.network.chip import Chip, outputs
from noiseproof.network.state import places, skeleton_of, state_of
from noiseproof.noise.flipout import Flipout
from noiseproof.noise.perturbation import Programme, perturb
from noiseproof.noise.signs import flipped_tensor
from noiseproof.results.rows import Row
from noiseproof.results.sensitivity import Ranking
from noiseproof.results.store import Store
from noiseproof.specs.noise import Spec, parse

FALSE_FAIL = 1e-6
NOISE = parse("gaussian(0.8, reference=std)")
IMAGES, BLOCKS = 42, 5  # of 8 and 9 images


class Block(nn.Module):
    """Two layers, the second one tied to nothing, beside a shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(5, 5, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(5)
        self.conv2 = nn.Conv2d(5, 5, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(x)
        return torch.relu(x + self.conv2(torch.relu(self.bn1(y))))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(5 * 16, 4)  # registered first, called last
        self.stem = nn.Conv2d(1, 5, 3)
        self.blocks = nn.Sequential(Block(), Block())

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc(self.blocks(torch.relu(self.stem(x))).flatten(1))
        return out


def network() -> nn.Module:
    with npf.rng.seeded(0, "network"):
        return Net().eval()


def pictures(n: int = IMAGES) -> Split:
    """Images and the labels that the clean network gives them."""
    x = torch.randn(n, 1, 6, 6, generator=stream(0, "pictures"))
    with torch.no_grad():
        return Split(inputs=x, labels=network()(x).argmax(1))


def rows_of(path: Path) -> list[Row]:
    with Store(path, read_only=True) as store:
        return [replace(row, seconds=0.0) for row in store.rows()]


def ranked(path: Path, spec: Spec = NOISE, **options: object) -> tuple[Ranking, list[Row]]:
    with Store(path) as store:
        ranking = rank_layers(
            network(),
            pictures(),
            spec,
            seed=7,
            store=store,
            **options,  # type: ignore[arg-type]
        )
    return ranking, rows_of(path)


def literal_hits(spec: Spec, roles: Sequence[str], tensors: Sequence[str], row: Row) -> list[bool]:
    """Slow reference: every image of the row's block through a network of its own, whose tensors
    are clean but for `tensors`."""
    net, split = network(), pictures()
    state, where = state_of(net), places(net)
    order = torch.randperm(len(split), generator=stream(7, "blocks of images"))
    whole = Programme(state=state, places=where, spec=spec, targets=roles)
    noise = whole.noise(7, row.chip)
    signs = Flipout(net, whole.names).signs(7, row.chip, row.images)
    start = row.chip % BLOCKS * len(split) // BLOCKS
    found = []
    for i in range(row.images):
        image = order[start + i]
        own = {n: flipped_tensor(n, whole.base, noise, signs, i) for n in tensors}
        logits = outputs(skeleton_of(net), Chip({**state, **own}), split.inputs[image : image + 1])
        found.append(int(logits.argmax()) == int(torch.as_tensor(split.labels)[image]))
    return found


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ranking, list[Row]]:
    """Five blocks of 8 or 9 images, kernels and biases noisy."""
    path = tmp_path_factory.mktemp("small") / "rows.db"
    return ranked(path, targets=("kernel", "bias"), keep=(1, 3))


LAYERS = {
    "fc": ["fc.weight", "fc.bias"],
    "stem": ["stem.weight", "stem.bias"],
    "blocks.0.conv1": ["blocks.0.conv1.weight", "blocks.0.conv1.bias"],
    "blocks.0.conv2": ["blocks.0.conv2.weight"],
    "blocks.1.conv1": ["blocks.1.conv1.weight", "blocks.1.conv1.bias"],
    "blocks.1.conv2": ["blocks.1.conv2.weight"],
}


def test_noise_is_in_one_layer_alone_and_each_image_has_its_own(
    small: tuple[Ranking, list[Row]],
) -> None:
    rows = [row for row in small[1] if row.part.startswith("only:layer:")]
    assert {row.part.rpartition(":")[2] for row in rows} == set(LAYERS)
    changed = 0
    for row in rows:
        tensors = LAYERS[row.part.rpartition(":")[2]]
        expected = literal_hits(NOISE, ("kernel", "bias"), tensors, row)
        assert row.unpacked().tolist() == expected
        changed += not all(expected)
    assert changed > len(rows) / 2  # the oracle has something to say


def test_kept_digital_all_other_layers_are_noisy_on_fresh_dice(
    small: tuple[Ranking, list[Row]],
) -> None:
    ranking, rows = small
    order = [group.name for group in ranking.groups]
    but = [row for row in rows if row.part.startswith("but:")]
    assert {row.part for row in but} == {f"but:layer:{','.join(order[:k])}" for k in (0, 1, 3)}
    for row in but:
        assert BLOCKS <= row.chip < 2 * BLOCKS
        kept = row.part.rpartition(":")[2].split(",")
        tensors = [name for layer, own in LAYERS.items() if layer not in kept for name in own]
        assert row.unpacked().tolist() == literal_hits(NOISE, ("kernel", "bias"), tensors, row)


def test_the_clean_rows_are_the_clean_network(small: tuple[Ranking, list[Row]]) -> None:
    clean = [row for row in small[1] if row.part == "nothing"]
    assert sum(row.images for row in clean) == IMAGES
    assert all(row.correct == row.images and row.noise == "none" for row in clean)
    assert small[0].clean_accuracy.mean == 1


def test_the_ranking_is_that_of_the_rows(small: tuple[Ranking, list[Row]]) -> None:
    ranking, rows = small
    lost = {
        layer: sum(
            row.images - (row.correct or 0) for row in rows if row.part == f"only:layer:{layer}"
        )
        for layer in LAYERS
    }
    assert [g.drop.mean * IMAGES for g in ranking.groups] == pytest.approx(
        sorted(lost.values(), reverse=True)
    )
    assert {g.name: round(g.drop.mean * IMAGES) for g in ranking.groups} == lost
    assert [len(step.kept) for step in ranking.steps] == [0, 1, 3, 6]


def test_batches_do_not_change_a_block(small: tuple[Ranking, list[Row]], tmp_path: Path) -> None:
    _, rows = ranked(tmp_path / "r.db", targets=("kernel", "bias"), keep=(1, 3), batch_size=5)
    assert [row.hits for row in rows] == [row.hits for row in small[1]]


def test_the_network_stays_as_it_is() -> None:
    net = network()
    before = {name: tensor.clone() for name, tensor in state_of(net).items()}
    rank_layers(net, pictures(), NOISE, keep=(0,))
    assert all(torch.equal(before[name], tensor) for name, tensor in state_of(net).items())
    assert "forward" not in net.stem.__dict__  # type: ignore[union-attr]
    assert net(pictures().inputs).shape == (IMAGES, 4)


def test_deterministic_stages_act_in_the_noisy_layers_only(tmp_path: Path) -> None:
    coarse = parse("quantize(bits=2)")
    _, rows = ranked(tmp_path / "r.db", coarse, keep=(2,))
    net, split = network(), pictures()
    state, where = state_of(net), places(net)
    order = torch.randperm(IMAGES, generator=stream(7, "blocks of images"))
    worse = 0
    for row in rows:
        kind, _, rest = row.part.partition(":")
        names = rest.partition(":")[2].split(",")
        noisy = {"only": set(names), "but": set(LAYERS) - set(names), "nothing": set[str]()}[kind]
        only = {name for layer in noisy for name in LAYERS[layer]}
        chip = perturb(state, where, coarse, only=only, seed=0, chip=0)
        start = row.chip % BLOCKS * IMAGES // BLOCKS
        images = order[start : start + row.images]
        right = (
            outputs(net, Chip(chip), split.inputs[images]).argmax(1)
            == torch.as_tensor(split.labels)[images]
        )
        assert row.unpacked().tolist() == right.tolist()
        worse += not right.all()
    assert worse


def test_the_mean_over_blocks_is_the_mean_over_chips() -> None:
    """The drop of one layer on per-image chips against full chips with noise in that layer: the
    same expectation. Tolerance from both standard errors; a bias of 5 points would show."""
    net, images = network(), 600
    split = pictures(images)
    ranking = rank_layers(net, split, NOISE, keep=(0,))
    stem = next(group for group in ranking.groups if group.name == "stem")
    state, where = state_of(net), places(net)
    chips = []
    for chip in range(150):
        noisy = perturb(state, where, NOISE, only={"stem.weight"}, seed=99, chip=chip)
        right = outputs(net, Chip(noisy), split.inputs).argmax(1) == torch.as_tensor(split.labels)
        chips.append(1 - float(right.double().mean()))
    half = (stem.drop.high - stem.drop.low) / 2
    own = half / float(sps.t.ppf(0.975, ranking.units - 1))
    error = (own**2 + np.var(chips, ddof=1) / len(chips)) ** 0.5
    allowed = float(sps.t.isf(FALSE_FAIL / 2, ranking.units - 1)) * error
    assert allowed < 0.15
    assert abs(stem.drop.mean - np.mean(chips)) < allowed
    assert stem.drop.mean > allowed


# --- what is computed ----------------------------------------------------------------------------


class Counted(nn.Module):
    """Passes on what it gets and counts the images."""

    seen = 0

    def forward(self, x: Tensor) -> Tensor:
        Counted.seen += len(x)
        return x + 0


def counted() -> nn.Module:
    with npf.rng.seeded(0, "counted"):
        return nn.Sequential(
            nn.Conv2d(1, 3, 3), Counted(), nn.Conv2d(3, 3, 3), Counted(), nn.Flatten(),
            nn.Linear(12, 4),
        ).eval()  # fmt: skip


def test_a_pass_begins_at_the_layer_that_is_noisy() -> None:
    """Images through the two counters: two on the clean pass, two with noise in the first layer,
    one in the second, none in the last; and two for each number of layers kept digital."""
    split = pictures(40)
    seen: list[int] = []

    def count(row: Row, done: int, total: int) -> None:
        seen.append(Counted.seen)

    rank_layers(counted(), split, NOISE, keep=(0, 1), on_row=count)
    start = seen[0] - 5 * 10  # the first row comes when its block of 10 is done
    assert seen[-1] - start == 40 * 5 + 2 * 40 * 2


def test_a_second_run_computes_nothing_and_a_killed_one_goes_on(tmp_path: Path) -> None:
    _, expected = ranked(tmp_path / "whole.db", keep=(1,))
    killed = tmp_path / "killed.db"

    def kill(after: int) -> None:
        def stop(row: Row, done: int, total: int) -> None:
            if len(rows_of(killed)) >= after:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            ranked(killed, keep=(1,), on_row=stop)

    for after in (1, 9, 37):  # in the first block, in the second, among those kept digital
        kill(after)
        assert len(rows_of(killed)) == after
    _, rows = ranked(killed, keep=(1,))
    assert rows == expected
    new: list[Row] = []
    ranking, rows = ranked(killed, keep=(1,), on_row=lambda row, done, total: new.append(row))
    assert (new, rows) == ([], expected)
    assert len(ranking.steps) == 3


def test_progress_counts_the_rows_of_both_parts(tmp_path: Path) -> None:
    said: list[tuple[int, int]] = []
    ranked(
        tmp_path / "r.db", keep=(0, 2), on_row=lambda row, done, total: said.append((done, total))
    )
    first, second = BLOCKS * 7, BLOCKS * 2
    assert said == [(i + 1, first) for i in range(first)] + [(i + 1, second) for i in range(second)]


def test_groupings_share_the_clean_rows(tmp_path: Path) -> None:
    ranked(tmp_path / "r.db", keep=(0,))
    ranking, rows = ranked(tmp_path / "r.db", by="block", keep=(0,))
    assert sum(row.part == "nothing" for row in rows) == BLOCKS
    assert {g.name for g in ranking.groups} == {"fc", "stem", "blocks.0", "blocks.1"}
    ranking, _ = ranked(tmp_path / "r.db", by="role", targets=("kernel", "bias", "norm_affine"))
    assert {g.name for g in ranking.groups} == {"kernel", "bias", "norm_affine"}


# --- groups --------------------------------------------------------------------------------------


def grouped(
    net: nn.Module, example: Tensor, by: str = "layer", roles: Sequence[str] = ("kernel",)
) -> dict[str, TensorGroup]:
    where = places(net)
    names = [name for name, place in where.items() if place.role in roles]
    found = groups_of(net.eval(), state_of(net), names, by=by, example=example)
    return {group.name: group for group in found}


def test_groups_know_their_weights_and_products() -> None:
    groups = grouped(network(), torch.zeros(1, 1, 6, 6), roles=("kernel", "bias"))
    assert groups["stem"].weights == 5 * 9 + 5
    assert groups["stem"].macs == 5 * 9 * 16
    assert groups["fc"].macs == 5 * 16 * 4
    blocks = grouped(network(), torch.zeros(1, 1, 6, 6), by="block")
    assert blocks["blocks.0"].macs == 2 * 5 * 5 * 9 * 16
    assert blocks["blocks.0"].weights == 2 * 5 * 5 * 9
    roles = grouped(network(), torch.zeros(1, 1, 6, 6), by="role", roles=("kernel", "bias"))
    assert roles["bias"].macs == 0
    assert roles["kernel"].macs == sum(group.macs for group in groups.values())


def test_a_pass_starts_at_the_first_called_module_of_a_group() -> None:
    everything = grouped(network(), torch.zeros(1, 1, 6, 6), by="role")["kernel"]
    order = ["", "stem", "blocks", "blocks.0", "blocks.0.conv1", "blocks.1", "blocks.1.conv1", "fc"]
    assert everything.modules[0] == "fc"  # registered first, called last
    assert everything.first_call(order) == "stem"
    layers = grouped(network(), torch.zeros(1, 1, 6, 6))
    assert layers["blocks.1.conv2"].first_call(order) == "blocks.1"  # not called: around it
    assert layers["fc"].first_call(["", "stem"]) == ""


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(6, 6, bias=False)
        self.first = nn.Linear(6, 6, bias=False)
        self.middle = nn.Linear(6, 6)
        self.first.weight = self.last.weight

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(torch.relu(self.middle(self.first(x))))
        return out


def test_a_tied_tensor_counts_once_and_starts_where_it_is_used_first() -> None:
    group = grouped(Tied(), torch.zeros(1, 6))["last"]
    assert (group.weights, group.macs) == (36, 72)
    assert group.first_call(["", "first", "middle", "last"]) == "first"


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.ModuleDict({"attend": nn.MultiheadAttention(8, 2, batch_first=True)})
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:  # (N, 5, 8)
        y, _ = self.inner["attend"](x, x, x)
        out: Tensor = self.head(y.mean(1))
        return out


def test_attention_is_one_layer_and_starts_where_it_is_called() -> None:
    groups = grouped(Attention(), torch.zeros(1, 5, 8))
    assert list(groups) == ["inner.attend", "head"]
    assert groups["inner.attend"].weights == 4 * 64
    assert groups["inner.attend"].first_call(["", "inner.attend", "head"]) == "inner.attend"


class Recurrent(nn.Module):
    """An LSTM, whose noisy pass calls the layer once for each image, then a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.front = nn.Linear(6, 6)
        self.lstm = nn.LSTM(6, 5, batch_first=True)
        self.head = nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:  # (N, 1, 6, 6)
        out: Tensor = self.head(self.lstm(self.front(x[:, 0]))[0][:, -1])
        return out


@pytest.mark.parametrize("make", [Recurrent, Tied, Attention])
def test_other_networks_are_ranked_by_literal_chips_too(
    make: type[nn.Module], tmp_path: Path
) -> None:
    with npf.rng.seeded(0, "other"):
        net = make().eval()
    shape = {"Recurrent": (1, 6, 6), "Tied": (6,), "Attention": (5, 8)}[make.__name__]
    x = torch.randn(20, *shape, generator=stream(0, "other"))
    with torch.no_grad():
        split = Split(inputs=x, labels=net(x).argmax(1))
    with Store(tmp_path / "r.db") as store:
        rank_layers(net, split, NOISE, seed=1, store=store, keep=(0,))
    state = state_of(net)
    whole = Programme(state=state, places=places(net), spec=NOISE)
    order = torch.randperm(20, generator=stream(1, "blocks of images"))
    layers = grouped(net, x[:1])
    rows = [row for row in rows_of(tmp_path / "r.db") if row.part.startswith("only:")]
    assert len(rows) == 2 * len(layers)
    for row in rows:
        noise = whole.noise(1, row.chip)
        signs = Flipout(net, whole.names).signs(1, row.chip, 10)
        tensors = layers[row.part.rpartition(":")[2]].tensors
        for i, image in enumerate(order[10 * row.chip : 10 * row.chip + 10]):
            own = {n: flipped_tensor(n, whole.base, noise, signs, i) for n in tensors}
            right = outputs(net, Chip({**state, **own}), x[image : image + 1]).argmax(1)
            assert bool(row.unpacked()[i]) == bool(right == torch.as_tensor(split.labels)[image])


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"by": "color"}, "unknown grouping 'color': expected one of layer, block, role"),
        ({"keep": (7,)}, "keep must be between 0 and the 6 groups there are, got 7"),
        ({"targets": ("norm_stats",), "design": "per-image"}, "noise on norm_stats"),
        ({"design": "nested"}, "compared on the same images, and design nested"),
        ({"design": "per-image", "chips": 3}, "design per-image has no number of chips, got 3"),
        ({"targets": ("other",)}, "nothing to rank: no tensor has a role"),
        ({"batch_size": 0}, "batch size must be >= 1, got 0"),
    ],
)
def test_requests_that_cannot_be_are_refused(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        rank_layers(network(), pictures(), NOISE, **options)  # type: ignore[arg-type]


def test_noise_that_does_nothing_is_told() -> None:
    with pytest.warns(NoEffectWarning, match="changes no tensor"):
        rank_layers(network(), pictures(), NOISE, targets=("norm_affine",), keep=(0,))


def test_names_with_commas_are_refused() -> None:
    net = nn.Sequential()
    net.add_module("a,b", nn.Linear(6, 4))
    x = torch.randn(30, 6, generator=stream(0, "commas"))
    split = Split(inputs=x, labels=torch.zeros(30, dtype=torch.int64))
    with pytest.raises(ValueError, match="no comma in its name, got 'a,b'"):
        rank_layers(net, split, NOISE)
