"""Chips with noise in a few tensors, whose passes begin at the first module that sees it: what
comes before is computed once for each batch and kept, as far as memory goes.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from noiseproof.core.inputs import Inputs
from noiseproof.network.chip import Chip
from noiseproof.network.costs import costs_of
from noiseproof.network.passes import Forward, Passes
from noiseproof.network.replay import Recording, Replay
from noiseproof.network.state import State

MOST_BYTES = 1 << 30
"""Of what is kept of all batches together."""
CHECKED = 2  # chips of which one batch is also computed whole


def users_of(skeleton: nn.Module) -> dict[str, list[str]]:
    """The modules that have each tensor as their own, several where it is tied."""
    tensors = (*skeleton.named_parameters(), *skeleton.named_buffers())
    known = {id(tensor): name for name, tensor in tensors}
    found: dict[str, list[str]] = {}
    for prefix, module in skeleton.named_modules():
        for tensor in (*module._parameters.values(), *module._buffers.values()):
            if tensor is not None and id(tensor) in known:
                found.setdefault(known[id(tensor)], []).append(prefix)
    return found


def first_called(modules: Sequence[str], starts: Sequence[str]) -> str:
    """The one of `starts`, modules in the order of their first calls, where a pass begins to
    differ that has other tensors in `modules`: the first of them, and for a module that is never
    called the one around it."""
    called = {name: place for place, name in enumerate(starts)}
    first = len(starts)
    for module in modules:
        # Ends at the network itself, "", which is always called:
        # attention's projection, say, is not.
        while module not in called:
            module = module.rpartition(".")[0]
        # The earliest: a resumed pass computes everything from
        # there on, the later ones included.
        first = min(first, called[module])
    return starts[first]


class Starts:
    """Where the passes of chips of one network begin to differ from the clean one. `example` (N,
    ...) are inputs as the network takes them."""

    def __init__(self, passes: Passes, state: State, example: Inputs) -> None:
        self.passes, self.state, self._example = passes, state, example

    def start(self, names: Collection[str]) -> str:
        """The module where a pass begins to differ that has noise in the tensors `names`."""
        # What the folded network runs with is asked, and not the names: noise on a normalisation
        # is noise in the kernel that it went into.
        noisy = self.passes.ready(Chip(_moved(self.state, names))).state
        changed = [name for name, tensor in self._ready.items() if _differ(tensor, noisy[name])]
        modules = [user for name in changed for user in self._users[name]]
        return first_called(modules, self._order) if modules else ""

    def share(self, start: str) -> float:
        """Which share of a pass's multiply-accumulates comes before the module `start`."""
        before = set(self._order[: self._order.index(start)])
        total = sum(self._macs.values())
        return sum(n for name, n in self._macs.items() if name in before) / total if total else 0.0

    @cached_property
    def _ready(self) -> State:
        return self.passes.ready(Chip(self.state)).state

    @cached_property
    def _users(self) -> dict[str, list[str]]:
        return users_of(self.passes.skeleton)

    @cached_property
    def _order(self) -> list[str]:
        run = self.passes.load(Chip(self.state))
        with Replay(self.passes.skeleton) as replay:
            replay.record(lambda: run(self._example))
            return replay.starts

    @cached_property
    def _macs(self) -> dict[str, int]:
        costs = costs_of(self.passes.skeleton, self._ready, self.passes.laid_out(self._example))
        return {name: cost.macs for name, cost in costs.items()}


def _moved(state: Mapping[str, Tensor], names: Collection[str]) -> State:
    """`state` with other values in every element of the tensors `names`."""
    # Upwards from the larger: a running variance stays one.
    return {n: t + t.abs() + 1 if n in names else t for n, t in state.items()}


def _differ(a: Tensor, b: Tensor) -> bool:
    return a is not b and not torch.equal(a, b)


class Shortcut:
    """The batches of one test set, in order, on one chip after another that differs from the clean
    network in some modules only, the first of which is `start`.

    On the first chip the clean pass of each batch is recorded; from then on its passes begin at
    `start`. Batches for which there is no more room are computed whole, and so is everything where
    that is not the same: where modules are called in another order than before, or leave things
    for each other besides what they return. That is seen on a batch of the first two chips, which
    is computed both ways.

    A context manager: while it is open, every pass of `passes` goes through it.
    """

    def __init__(self, passes: Passes, state: State, start: str, *, room: int = MOST_BYTES) -> None:
        self._clean = passes.load(Chip(state))
        self._replay = Replay(passes.skeleton, only=[start])
        self._start, self._room = start, room
        self._kept: list[Recording] = []
        self._chips = 0
        self._holds = True

    def __enter__(self) -> "Shortcut":
        return self

    def __exit__(self, *error: object) -> None:
        self._replay.close()
        self._kept.clear()

    def forward(self, run: Forward) -> Forward:
        """`run`, which has a chip loaded, as a function of the batches in their order."""
        place, chip = -1, self._chips
        self._chips += 1

        def forward(x: Inputs) -> Any:
            nonlocal place
            place += 1
            if not self._holds:
                return run(x)
            if not chip and self._room > 0:
                self._keep(x)
            if place >= len(self._kept):
                return run(x)
            found = self._resumed(lambda: run(x), self._kept[place])
            # The first chip's passes follow their recording at once, so that what modules leave
            # for each other is there by chance; the second's come after all batches.
            if self._holds and (place or chip >= CHECKED):
                return found
            whole = run(x)
            self._holds = self._holds and same_outputs(found, whole)
            return whole

        return forward

    def _keep(self, x: Inputs) -> None:
        self._replay.record(lambda: self._clean(x))
        made = self._replay.recording
        assert made is not None
        self._room -= made.nbytes
        if self._room > 0:
            self._kept.append(made)

    def _resumed(self, run: Callable[[], Any], kept: Recording) -> Any:
        try:
            return self._replay.resume(run, self._start, of=kept)
        except ValueError:
            # Modules in another order, or what one module left for another that it cannot take. A
            # network that fails on this chip itself fails again in the whole pass.
            self._holds = False
            return None


def same_outputs(a: Any, b: Any) -> bool:
    """Are the outputs of two passes equal, to the last bit? False where they hold something that
    cannot be compared."""
    return type(a) is type(b) and _same(_leaves(a), _leaves(b))


def _leaves(output: Any) -> list[Any]:
    found: list[Any] = []
    for one in tree_leaves(output):
        # An object of the network's own, with `logits` say, holds its tensors as attributes.
        inside = [] if isinstance(one, Tensor) else tree_leaves(getattr(one, "__dict__", {}))
        found += inside or [one]
    return found


def _same(a: Sequence[Any], b: Sequence[Any]) -> bool:
    return len(a) == len(b) and all(map(_same_leaf, a, b))


def _same_leaf(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        # A NaN is equal to a NaN here.
        return a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all())
    return isinstance(a, bool | int | float | str | None) and a == b
