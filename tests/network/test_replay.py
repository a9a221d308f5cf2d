"""A pass from the middle gives what a full pass gives, computes no more than it must, and neither
in-place operations nor the caller can spoil what is kept."""

import copy
import gc
import random
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import models as tv

from noiseproof.core.rng import seeded, stream
from noiseproof.models import building as models
from noiseproof.network.chip import Chip, StopForward, outputs
from noiseproof.network.replay import Replay
from noiseproof.network.state import State, skeleton_of, state_of

INVERTED = [[1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 2, 1]]  # the first of mobilenet_v2's stages
NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {  # and the side of their images
    "resnet8": (lambda: models.build("resnet8"), 8),
    "vgg11": (lambda: models.build("vgg11"), 32),
    "torchvision resnet18": (lambda: tv.resnet18(num_classes=5), 16),
    "torchvision mobilenet_v2": (lambda: tv.MobileNetV2(5, 0.5, INVERTED), 16),
    "torchvision vit": (lambda: tv.VisionTransformer(16, 8, 2, 2, 8, 16, num_classes=5), 16),
    "torchvision densenet": (lambda: tv.DenseNet(4, (2, 2), 8, num_classes=5), 16),
}
FREE = (nn.ReLU, nn.ReLU6, nn.Dropout, nn.Flatten, nn.Identity)  # return memory of their argument


def ready(name: str) -> tuple[nn.Module, State, Tensor]:
    build, side = NETWORKS[name]
    with seeded(0, "replay", name):
        skeleton = skeleton_of(build())
    return skeleton, state_of(skeleton), torch.randn(1, 3, side, side, generator=stream(0, "x"))


def noisy(state: State) -> State:
    return {
        name: t + 0.1 * torch.rand(t.shape, generator=stream(1, name))
        for name, t in state.items()
        if t.is_floating_point()
    }


def changed_from(replay: Replay, state: State, other: State, start: str) -> State:
    """`state` with `other` in the modules from `start` on, in the order of their first calls."""
    later = set(replay.starts[replay.starts.index(start) :])
    return {**state, **{n: t for n, t in other.items() if n.rpartition(".")[0] in later}}


def running(skeleton: nn.Module, state: State, x: Tensor) -> Callable[[], Any]:
    """A run on inputs of its own, which it may write into."""
    return lambda: outputs(skeleton, Chip(state), x.clone())


@pytest.mark.parametrize("name", NETWORKS)
def test_a_replayed_pass_is_the_full_pass_bit_by_bit_for_every_start(name: str) -> None:
    skeleton, state, x = ready(name)
    reference = copy.deepcopy(skeleton)
    run, other = running(skeleton, state, x), noisy(state)
    with Replay(skeleton) as replay:
        clean = replay.record(run)
        assert torch.equal(clean, outputs(reference, Chip(state), x))
        for start in replay.starts:
            new = changed_from(replay, state, other, start)
            full = outputs(reference, Chip(new), x)
            assert torch.equal(replay.resume(running(skeleton, new, x), start), full), start
            if all(new[n] is state[n] for n in state):
                assert torch.equal(full, clean)
            else:
                assert not torch.equal(full, clean), start
        for start in replay.starts[::7]:  # nothing above has spoilt what is kept
            assert torch.equal(replay.resume(run, start), clean)


Event = tuple[str, str]  # ("begin" or "end", module)


def watched(skeleton: nn.Module) -> list[Event]:
    """The list that the calls of `skeleton` are entered in."""
    events: list[Event] = []
    for name, module in skeleton.named_modules():
        module.register_forward_pre_hook(lambda *_, n=name: events.append(("begin", n)))
        module.register_forward_hook(lambda *_, n=name: events.append(("end", n)))
    return events


@pytest.mark.parametrize("name", NETWORKS)
def test_only_what_ends_after_the_start_began_computes(name: str) -> None:
    """And what costs nothing: in-place activations, flattening, dropout at rest."""
    skeleton, state, x = ready(name)
    free = {n for n, module in skeleton.named_modules() if isinstance(module, FREE)}
    events = watched(skeleton)
    run = running(skeleton, state, x)
    with Replay(skeleton) as replay:
        replay.record(run)
        recorded = list(events)
        for start in replay.starts[::3]:
            events.clear()
            replay.resume(run, start)
            later = recorded[recorded.index(("begin", start)) :]
            ended = [n for kind, n in later if kind == "end"]
            computed = [n for kind, n in events if kind == "end"]
            assert computed[len(computed) - len(ended) :] == ended
            assert set(computed[: len(computed) - len(ended)]) <= free
            assert len(computed) - len(ended) <= 3  # only those beside the start, in its blocks


# --- networks that write where others read -------------------------------------------------------


class Program(nn.Module):
    """Random steps on a list of values: modules and plain operations, in place or not."""

    def __init__(self, dice: random.Random, depth: int) -> None:
        super().__init__()
        kinds = ["linear", "relu_", "view_", "add_", "add", "flat", "list", "dict", "twice"]
        kinds += ["block", "block"] * (depth > 0)
        self.steps = [(dice.choice(kinds), dice.random(), dice.random()) for _ in range(6)]
        parts: list[nn.Module] = []
        for kind, *_ in self.steps:
            if kind == "block":
                parts.append(Program(dice, depth - 1))
            else:
                parts.append(PARTS.get(kind, nn.Identity)())
        self.parts = nn.ModuleList(parts)

    def forward(self, x: Tensor) -> Tensor:  # (N, 4) -> (N, 4)
        values = [x]
        for (kind, first, second), part in zip(self.steps, self.parts, strict=True):
            a, b = values[int(first * len(values))], values[int(second * len(values))]
            if kind == "view_":
                a[:, 1:3].mul_(0.5)
            elif kind == "add_":
                a += b
            elif kind == "add":
                values.append(a + b)
            elif kind == "relu_" and second < 0.5:
                part(a)  # for what it does to its argument
            elif kind == "list":
                values += part([a, b])
            elif kind == "dict":
                values += part({"a": a, "b": b})["sum"]
            elif kind == "twice":
                values.append(part(part(a)))
            else:
                values.append(part(a))
        return torch.stack([v.reshape(len(x), 4) for v in values]).mean(0)


class Appending(nn.Linear):
    """(list of (N, 4)) -> a tuple; it makes its argument longer."""

    def forward(self, x: list[Tensor]) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        x.append(super().forward(x[0]))
        return x[-1], x[-1].clone()


class Named(nn.Linear):
    def forward(self, x: dict[str, Tensor]) -> dict[str, Any]:  # type: ignore[override]
        y = super().forward(x["a"])
        return {"sum": [y + x["b"], y], "width": 4}


PARTS: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Linear(4, 4),
    "relu_": lambda: nn.ReLU(inplace=True),
    "flat": nn.Flatten,
    "list": lambda: Appending(4, 4),
    "dict": lambda: Named(4, 4),
    "twice": lambda: nn.Sequential(nn.Linear(4, 4), nn.Hardtanh(inplace=True)),
}


@pytest.mark.parametrize("seed", range(20))
def test_random_programs_with_writes_in_place_replay_bit_by_bit(seed: int) -> None:
    with seeded(seed, "program"):
        skeleton = skeleton_of(Program(random.Random(seed), depth=2))
    reference, state = copy.deepcopy(skeleton), state_of(skeleton)
    x, other = torch.randn(3, 4, generator=stream(seed, "x")), noisy(state)
    with Replay(skeleton) as replay:
        replay.record(running(skeleton, state, x))
        order = replay.starts
        random.Random(seed).shuffle(order)
        for start in [*order, *order]:
            new = changed_from(replay, state, other, start)
            full = running(reference, new, x)()
            assert torch.equal(replay.resume(running(skeleton, new, x), start), full), start


class Noted(nn.Linear):
    """It leaves its output in the list that it is given."""

    def forward(self, x: list[Tensor]) -> Tensor:  # type: ignore[override]
        x.append(super().forward(x[0]))
        return x[0] + 1


class Overlapping(nn.Linear):
    """Its output and a part of that."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        y = super().forward(x)
        return y, y[:, :2]


class Odd(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.noted, self.overlapping, self.last = Noted(4, 4), Overlapping(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:  # (N, 4) -> (N, 4)
        notes = [x]
        self.noted(notes)
        whole, part = self.overlapping(notes[-1])
        part.zero_()
        return self.last(whole)


def test_changed_lists_and_overlapping_outputs_replay_bit_by_bit() -> None:
    skeleton, run = small(Odd())
    with Replay(skeleton) as replay:
        clean = replay.record(run)
        for start in [*replay.starts, *replay.starts]:
            assert torch.equal(replay.resume(run, start), clean)


class Features(nn.Module):
    """(N, 4) -> what two layers return, both given to the caller."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.unused = (nn.Linear(4, 4) for _ in range(3))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.a(x)
        return y, self.b(y)


def small(net: nn.Module) -> tuple[nn.Module, Callable[[], Any]]:
    """A skeleton and its clean run."""
    skeleton = skeleton_of(net)
    state, x = state_of(skeleton), torch.randn(3, 4, generator=stream(0, "small"))
    return skeleton, lambda: outputs(skeleton, Chip(state), x)


def test_a_caller_may_write_into_the_results() -> None:
    skeleton, run = small(Features())
    clean = run()
    with Replay(skeleton) as replay:
        for result in (replay.record(run), *(replay.resume(run, "b") for _ in range(3))):
            assert all(map(torch.equal, result, clean))
            for part in result:
                part.zero_()


def test_a_write_that_torch_cannot_have_foreseen_is_an_error() -> None:
    skeleton, run = small(Features())
    met: list[Tensor] = []
    skeleton.b.register_forward_pre_hook(lambda module, args: met.append(args[0]))
    with Replay(skeleton, only=["b"]) as replay:
        replay.record(run)
        for _ in range(2):
            replay.resume(lambda: run()[1], "b")
        met[-1].zero_()
        with pytest.raises(ValueError, match="something wrote into the kept output of 'a'"):
            replay.resume(run, "b")


# --- what is kept --------------------------------------------------------------------------------


def nested() -> nn.Module:
    def linear() -> nn.Module:
        return nn.Linear(4, 4)

    return nn.Sequential(nn.Sequential(linear(), linear()), nn.Sequential(linear(), linear()))


@pytest.mark.parametrize(
    ("only", "kept"),
    [
        (None, 3),  # 0.0, 0 and 1.0: not 0.1, which 0 stands for, nor what comes last
        (["1"], 1),
        (["1.1"], 2),
        (["0.0"], 0),
        ([""], 0),
    ],
)
def test_kept_are_only_outputs_that_a_start_gives_back(only: list[str] | None, kept: int) -> None:
    skeleton, run = small(nested())
    with Replay(skeleton, only=only) as replay:
        replay.record(run)
        assert replay.nbytes == (kept + 1) * 3 * 4 * 4  # and the inputs, each (3, 4) float32


class Added(nn.Module):
    """A branch of two layers, added to the argument in place."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x += self.b(self.a(x))
        return x


def test_the_parts_of_a_block_that_cannot_be_kept_are_kept_no_longer_than_needed() -> None:
    skeleton, run = small(nn.Sequential(nn.Linear(4, 4), Added()))
    with Replay(skeleton) as replay:
        replay.record(run)
        assert replay.nbytes == (2 + 1) * 3 * 4 * 4  # 0, 1.a and the inputs: 1.b comes last


def test_two_passes_in_one_run_keep_what_the_second_needs() -> None:
    late = skeleton_of(nn.Sequential(nested(), nn.Linear(4, 4)))
    x = torch.ones(3, 4)
    with torch.no_grad(), Replay(late) as replay:
        clean = replay.record(lambda: late[1](late[0](x)))
        assert torch.equal(replay.resume(lambda: late[1](late[0](x)), "1"), clean)
        assert replay.starts == ["0", "0.0", "0.0.0", "0.0.1", "0.1", "0.1.0", "0.1.1", "1"]


def test_closing_frees_the_memory_and_gives_the_skeleton_back() -> None:
    skeleton, run = small(Features())
    before = {name: dict(vars(module)) for name, module in skeleton.named_modules()}
    met: list[weakref.ref[Tensor]] = []
    with Replay(skeleton) as replay:
        replay.record(run)
        hook = skeleton.b.register_forward_pre_hook(
            lambda m, args: met.append(weakref.ref(args[0]))
        )
        for _ in range(3):
            replay.resume(lambda: run()[1], "b")
        hook.remove()
        gc.collect()
        assert met[0]() is None  # a copy, to learn whether anything writes into it
        assert met[1]() is met[2]() is not None
        assert replay.nbytes
    gc.collect()
    assert met[2]() is None
    assert replay.nbytes == 0
    assert {name: dict(vars(module)) for name, module in skeleton.named_modules()} == before
    with pytest.raises(ValueError, match="this Replay is closed"):
        replay.record(run)


# --- the rest ------------------------------------------------------------------------------------


class Shared(nn.Module):
    """Calls one layer three times, another between."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.a(self.b(self.a(torch.tanh(self.a(x)))))


def test_a_start_that_is_called_several_times_computes_from_its_first_call_on() -> None:
    skeleton, run = small(Shared())
    events = watched(skeleton)
    with Replay(skeleton) as replay:
        clean = replay.record(run)
        assert replay.starts == ["", "a", "b"]
        for start, expected in {"a": ["a", "a", "b", "a", ""], "b": ["b", "a", ""]}.items():
            events.clear()
            assert torch.equal(replay.resume(run, start), clean)
            assert [name for kind, name in events if kind == "end"] == expected


def test_outside_a_run_and_in_copies_the_skeleton_computes_as_ever() -> None:
    skeleton, run = small(Shared())
    with Replay(skeleton) as replay:
        clean = replay.record(run)
        assert torch.equal(run(), clean)
        twin, other = small(copy.deepcopy(skeleton))
        with Replay(twin) as second:
            assert torch.equal(second.record(other), clean)


def test_a_run_that_fails_leaves_the_replay_usable() -> None:
    skeleton, run = small(Shared())
    with Replay(skeleton) as replay:
        clean = replay.record(run)

        def fail(*_: object) -> None:
            raise StopForward

        hook = skeleton.b.register_forward_hook(fail)
        with pytest.raises(StopForward):
            replay.resume(run, "b")
        hook.remove()
        assert torch.equal(replay.resume(run, "b"), clean)


def test_gradients_reach_the_start_and_what_follows() -> None:
    skeleton = nested()
    x = torch.ones(3, 4)
    with Replay(skeleton) as replay:
        replay.record(lambda: skeleton(x))
        replay.resume(lambda: skeleton(x), "1").sum().backward()
    graded = {name for name, p in skeleton.named_parameters() if p.grad is not None}
    assert graded == {f"1.{i}.{p}" for i in range(2) for p in ("weight", "bias")}


class Moody(nn.Module):
    """Its order of calls follows `mood`."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Linear(4, 4) for _ in range(3))
        self.mood = "abc"

    def forward(self, x: Tensor) -> Tensor:
        for name in self.mood:
            x = self.get_submodule(name)(x)
        return x


@pytest.mark.parametrize(
    ("mood", "sentence"),
    [
        ("bac", "got 'b' in place of 'a'"),
        ("acb", "got 'c' in place of 'b'"),
        ("ab", "got 'end' in place of 'c'"),
        ("abca", "got 'a' in place of 'end'"),
    ],
)
def test_another_order_of_calls_is_an_error(mood: str, sentence: str) -> None:
    net = skeleton_of(Moody())
    x = torch.ones(3, 4)
    with torch.no_grad(), Replay(net) as replay:
        replay.record(lambda: net(x))
        net.mood = mood
        with pytest.raises(ValueError, match=f"called in the recorded order, {sentence}"):
            replay.resume(lambda: net(x), "b")


def test_other_inputs_than_the_recorded_ones_are_an_error() -> None:
    net = skeleton_of(nested())
    x = torch.full((3, 4), torch.nan)
    with torch.no_grad(), Replay(net) as replay:
        replay.record(lambda: net(x))
        replay.resume(lambda: net(x.clone()), "1")  # the same values are the same inputs
        for other in (x[:2], x.nan_to_num(1.0)):
            with pytest.raises(ValueError, match="the inputs differ from the recorded ones"):
                replay.resume(lambda other=other: net(other), "1")


def test_what_cannot_be_is_refused_in_one_sentence() -> None:
    skeleton, run = small(Features())
    with Replay(skeleton, only=["a", "b", "unused"]) as replay:
        with pytest.raises(ValueError, match="nothing is recorded: call record first"):
            replay.resume(run, "a")
        replay.record(run)
        for start, sentence in {
            "none": "unknown module 'none'",
            "unused": "'unused' is not called in this recording",
            "": "'' is none of `only`",
        }.items():
            with pytest.raises(ValueError, match=sentence):
                replay.resume(run, start)
        with pytest.raises(ValueError, match="compiled or under a Replay"):
            Replay(skeleton)
        with torch.inference_mode(), pytest.raises(ValueError, match="not torch.inference_mode"):
            replay.record(lambda: skeleton(torch.ones(3, 4)))
    with pytest.raises(ValueError, match="unknown module 'none'"):
        Replay(skeleton, only=["none"])
    Replay(skeleton).close()


def test_objects_that_could_hide_a_tensor_are_computed_anew() -> None:
    class Box:
        def __init__(self, value: Tensor) -> None:
            self.value = value

    class Boxing(nn.Linear):
        def forward(self, x: Tensor) -> Box:  # type: ignore[override]
            return Box(super().forward(x))

    class Unboxing(nn.Linear):
        def forward(self, box: Box) -> Tensor:  # type: ignore[override]
            return super().forward(F.relu_(box.value))

    skeleton, run = small(nn.Sequential(Boxing(4, 4), Unboxing(4, 4), nn.Linear(4, 4)))
    with Replay(skeleton) as replay:
        clean = replay.record(run)
        for start in [*replay.starts, *replay.starts]:
            assert torch.equal(replay.resume(run, start), clean)
