"""What noise reaches: layers of any class in any type of numbers, tables, what is kept digital."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import noiseproof as npf
from noiseproof.core.checks import ReachWarning
from noiseproof.core.rng import seeded, stream
from noiseproof.data.splits import Split
from noiseproof.measuring.opening import open_evaluator
from noiseproof.measuring.requests import Calibration, Network
from noiseproof.measuring.setup import held
from noiseproof.network.state import places, state_of, with_state
from noiseproof.noise.perturbation import perturb
from noiseproof.results.store import Store
from noiseproof.specs.layers import parse_digital
from noiseproof.specs.noise import parse

SPEC = parse("gaussian(0.7)")
X = torch.randn(120, 6, generator=stream(0, "x"))


class Product(nn.Module):
    """A kernel (inputs, outputs), in a class of its own."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        with seeded(inputs, "product"):
            self.kernel = nn.Parameter(torch.randn(inputs, outputs) / inputs**0.5)
        self.shift = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.kernel + self.shift


class Net(nn.Module):
    """Two products of its own, and one of torch's."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = Product(6, 16), Product(16, 16)
        with seeded(0, "net"):
            self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(torch.tanh(self.b(torch.tanh(self.a(x)))))
        return out


def answered(model: nn.Module, x: Tensor = X) -> Split:
    with torch.no_grad():
        kind = next((p.dtype for p in model.parameters()), torch.float32)
        taken = x.to(kind) if x.is_floating_point() else x
        return Split(inputs=x, labels=model(taken).argmax(1))


def correct(curve: npf.results.Curve) -> list[int | None]:
    return [row.correct for row in curve.points[-1].rows]


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("given", [torch.float32, torch.float64])
def test_layers_of_any_class_get_noise_in_any_type_of_numbers(
    kind: torch.dtype, given: torch.dtype
) -> None:
    net = Net().to(kind)
    test = answered(net, X.to(given))
    curve = npf.measure(net, test, SPEC, chips=3)
    row = curve.points[-1].rows[0]
    assert (row.reached_macs, row.reached_weights) == (1.0, 1.0)
    # The same chips by a plain loop, which knows the kernels by their names.
    by_hand = []
    where = {
        name: npf.network.Place(
            role="kernel" if name.endswith(("kernel", "head.weight")) else "other"
        )
        for name in state_of(net)
    }
    for chip in range(3):
        noisy = with_state(net, perturb(state_of(net), where, SPEC, seed=0, chip=chip))
        by_hand.append(int((noisy(X.to(kind)).argmax(1) == test.labels).sum()))
    assert correct(curve) == by_hand
    assert len(set(by_hand)) > 1


def test_the_reached_shares_are_those_of_the_targeted_products() -> None:
    curve = npf.measure(Net(), answered(Net()), SPEC, chips=2, digital="name:b")
    row = curve.points[-1].rows[0]
    whole = 6 * 16 + 16 * 16 + 16 * 3
    assert row.reached_macs == row.reached_weights == pytest.approx((whole - 256) / whole)
    assert row.digital == "name:b"
    assert "noise reaches 36 % of the multiply-accumulates" in str(curve)


def test_what_is_digital_on_purpose_is_clean_and_no_warning(
    recwarn: pytest.WarningsRecorder,
) -> None:
    net = Net()
    evaluator = open_evaluator(
        held(net, answered(net), Network(digital=parse_digital("first,last")), Calibration()), None
    )
    roles = {name: place.role for name, place in evaluator.places.items()}
    assert [n for n, role in roles.items() if role == "kernel"] == ["b.kernel"]
    npf.measure(net, answered(net), SPEC, chips=2, digital="first,last")
    assert not [one for one in recwarn if issubclass(one.category, ReachWarning)]


def test_layers_left_out_do_not_move_the_dice_of_the_others() -> None:
    net = Net()
    alone = npf.measure(net, answered(net), "gaussian(0.7)@name:b", chips=4)
    kept = npf.measure(net, answered(net), SPEC, chips=4, digital="name:a,name:head")
    assert correct(alone) == correct(kept)
    assert alone.points[-1].rows[0].noise.endswith("@name:b")


def test_stages_on_several_layers_are_each_on_theirs() -> None:
    net = Net()
    where = places(net)
    spec = parse("gaussian(0.5)@name:head + uniform(0.5)@name:b")
    with pytest.raises(ValueError, match="name:b is no layer"):  # no pass has shown it
        perturb(state_of(net), {"head.weight": where["head.weight"]}, spec, seed=0, chip=0)
    evaluator = open_evaluator(held(net, answered(net), Network(), Calibration()), None)
    state, known = evaluator.state, evaluator.places
    noisy = perturb(state, known, spec, seed=0, chip=0)
    one = perturb(state, known, parse("gaussian(0.5)"), seed=0, chip=0)
    other = perturb(state, known, parse("uniform(0.5)"), seed=0, chip=0)
    assert torch.equal(noisy["head.weight"], one["head.weight"])
    assert torch.equal(noisy["b.kernel"], other["b.kernel"])
    assert torch.equal(noisy["a.kernel"], state["a.kernel"])


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (
            {"digital": "name:head.wieght"},
            r"name:head.wieght is no layer of this network: close is head",
        ),
        (
            {"digital": "kind:convolution"},
            r"kind:convolution is no layer of this network: it has .*linear",
        ),
        ({"digital": "second"}, "a choice of layers must be first, last, .* got 'second'"),
        ({"digital": "first:0"}, "first layers must be a number >= 1, got '0'"),
    ],
)
def test_layers_that_there_are_not_are_refused(wrong: dict[str, str], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        npf.measure(Net(), answered(Net()), SPEC, chips=2, **wrong)  # type: ignore[arg-type]


def test_a_chip_to_take_away_is_the_chip_that_was_measured() -> None:
    net = Net()
    test = answered(net)
    (row, *_) = npf.measure(net, test, SPEC, chips=1).points[0].rows
    chip = npf.manufacture(net, SPEC, inputs=X[:2])
    assert int((chip(X).argmax(1) == test.labels).sum()) == row.correct
    assert not torch.equal(chip.a.kernel, net.a.kernel)
    with pytest.warns(ReachWarning, match="kernel .* no example inputs show what those"):
        blind = npf.manufacture(net, SPEC)
    assert torch.equal(blind.a.kernel, net.a.kernel)


# --- tables ---------------------------------------------------------------------------------------


class Reader(nn.Module):
    """Words, looked up and summed."""

    def __init__(self) -> None:
        super().__init__()
        with seeded(1, "reader"):
            self.words, self.head = nn.Embedding(30, 8), nn.Linear(8, 8)
            self.last = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(torch.tanh(self.head(self.words(x).sum(1))))
        return out


WORDS = torch.randint(0, 30, (80, 5), generator=stream(0, "words"))


def test_tables_are_digital_unless_they_are_targets() -> None:
    net = Reader()
    test = answered(net, WORDS)
    digital = npf.measure(net, test, SPEC, chips=3)
    noisy = npf.measure(net, test, SPEC, chips=3, targets="kernel,embedding")
    assert digital.points[-1].rows[0].digital == "embedding"
    alone = npf.measure(net, test, SPEC, chips=3, targets="kernel,embedding", digital="name:words")
    assert correct(digital) == correct(alone)
    assert correct(digital) != correct(noisy)


def test_rows_with_noisy_tables_are_not_those_without(tmp_path: Path) -> None:
    net = Reader()
    named = npf.measuring.Subject(task="classify", data="words")
    with Store(tmp_path / "rows.db") as store:
        for digital in ("", "name:words", "last"):
            npf.measure(
                net,
                answered(net, WORDS),
                SPEC,
                chips=2,
                digital=digital,
                store=store,
                subject=named,
            )
        found = {row.digital for row in store.rows() if row.noise != "none"}
    assert found == {"embedding", "name:words", "embedding,last"}


# --- what is left out -----------------------------------------------------------------------------


def fixed() -> nn.Module:
    """Most of its products are with a buffer."""

    class Fixed(Net):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("still", torch.eye(6))

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x @ self.get_buffer("still"))

    return Fixed()


def low_rank() -> nn.Module:
    """A weight that is a product of two parameters."""

    class LowRank(Net):
        def __init__(self) -> None:
            super().__init__()
            self.u, self.v = nn.Parameter(torch.eye(6)), nn.Parameter(torch.eye(6))

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(nn.functional.linear(x, self.u @ self.v))

    return LowRank()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (fixed, "noise can reach only 91.7 % .*left out still, whose weights are no parameter"),
        (low_rank, "noise can reach only .*left out weights made of u and v"),
    ],
)
def test_what_noise_cannot_reach_is_named(make: Callable[[], nn.Module], sentence: str) -> None:
    net = make()
    with pytest.warns(ReachWarning, match=sentence):
        npf.measure(net, answered(net), SPEC, chips=2)


def test_a_network_that_never_sees_the_noise_is_refused() -> None:
    class Closed(nn.Module):
        """It runs another network, which it does not hold as a module."""

        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(6, 3)
            self.hidden = [nn.Linear(6, 3)]

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.hidden[0](x)
            return out

    net = Closed()
    with pytest.raises(ValueError, match="noise can reach only 0 % of the multiply-accumulates"):
        npf.measure(net, answered(net), SPEC, chips=2)
