"""A pass that starts in the middle: what is computed before one layer is computed once, kept and
given back.

    with Replay(skeleton) as replay:
        clean = replay.record(lambda: outputs(skeleton, Chip(state), x))
        for name in replay.starts:
            chip = Chip({**state, **noisy[name]})
            changed = replay.resume(lambda: outputs(skeleton, chip, x), name)
"""

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils._pytree import TreeSpec, tree_flatten, tree_leaves, tree_unflatten

T = TypeVar("T")
Compute = Callable[..., Any]


class Replay(AbstractContextManager["Replay"]):
    """Clean outputs of the modules of `skeleton`, a private one: every call of a module passes
    through here until `close`, or the end of the `with` block.

    The modules may talk to each other through arguments and outputs only, and call each other in
    the same order in every pass. What a module changes besides (running statistics in training
    mode) does not happen when its call is replayed, nor do its hooks run.

    Kept is only what some start can give back (not the last output inside a block that is kept);
    `only` names the modules that will be starts, for less memory. `recording` is the pass that was
    recorded last: who keeps it can resume from it after others were recorded.
    """

    def __init__(self, skeleton: nn.Module, *, only: Collection[str] | None = None) -> None:
        # Each module once, under its first name: two wrappers on one
        # module would record each call twice.
        self._modules = dict(skeleton.named_modules())
        self._only = frozenset(self._modules if only is None else only)
        self._recording: Recording | None = None
        self._now: Recording | _Resumption | None = None
        for name in self._only:
            self._check_known(name)
        if any(m._compiled_call_impl is not None for m in self._modules.values()):
            raise ValueError("the skeleton is compiled or under a Replay: give one of its own")
        for name, module in self._modules.items():
            # where Module.__call__ looks first: hooks lie behind it, and copies do not carry it
            module._compiled_call_impl = partial(self._called, name, module._call_impl)

    @property
    def starts(self) -> list[str]:
        """The modules (of `only`, where given) that the recorded pass called, in the order of their
        first calls. A module with several names has its first."""
        first = {} if self._recording is None else self._recording.first
        return [name for name in first if name in self._only]

    @property
    def nbytes(self) -> int:
        """The memory of what is kept, in bytes."""
        return 0 if self._recording is None else self._recording.nbytes

    def record(self, run: Callable[[], T]) -> T:
        """What `run` returns; the outputs of this pass replace those of an earlier one.

        Raises:
            ValueError: under torch.inference_mode, where in-place operations cannot be seen.
        """
        # The old one first: its memory is free before the new outputs come, and a pass that fails
        # leaves none rather than half of one.
        self._recording, recording = None, Recording(self._only)
        result = self._during(recording, run)
        # Kept at the outermost level, where no call ends that would drop what no start comes after.
        recording.drop(recording.open[0])
        self._recording = recording
        return result

    @property
    def recording(self) -> "Recording | None":
        """The last recorded pass; None before the first."""
        return self._recording

    def resume(self, run: Callable[[], T], start: str, *, of: "Recording | None" = None) -> T:
        """What `run` returns, computed from the first call of the module `start` on, in the pass
        `of` (default: the one recorded last).

        Each module call that had finished before then gives back its recorded output, whole blocks
        at once. Computed all the same are the blocks around `start` between their modules, and
        calls that write into their arguments or return memory of them (an in-place ReLU, a
        flatten, a dropout at rest). The outputs carry no gradients. `run` takes the recorded
        inputs, which is checked, and before `start` the recorded weights, which is not.

        Raises:
            ValueError: for a `start` that is unknown, was not called or is none of `only`; for
                other inputs, or another order of calls, than recorded; where a kept output was
                written into.
        """
        resumption = _Resumption(*self._found(start, self._recording if of is None else of))
        result = self._during(resumption, run)
        resumption.finish(result)
        return result

    def close(self) -> None:
        """Give the skeleton back as it was, and the memory free."""
        for module in self._modules.values():
            # Taken out, not set to None: that is what the class has.
            module.__dict__.pop("_compiled_call_impl", None)
        self._modules, self._recording = {}, None

    def __exit__(self, *error: object) -> None:
        self.close()

    def _called(self, name: str, compute: Compute, /, *args: Any, **kwargs: Any) -> Any:
        if self._now is None:
            return compute(*args, **kwargs)
        return self._now.call(name, compute, args, kwargs)

    def _during(self, now: "Recording | _Resumption", run: Callable[[], T]) -> T:
        if not self._modules:
            raise ValueError("this Replay is closed: make a new one")
        assert self._now is None, "a pass is under way"
        self._now = now
        try:
            return run()
        finally:
            self._now = None

    def _found(self, start: str, recording: "Recording | None") -> "tuple[Recording, int]":
        if recording is None:
            raise ValueError("nothing is recorded: call record first")
        self._check_known(start)
        if start not in self._only or start not in recording.first:
            reason = "is not called" if start in self._only else "is none of `only`"
            raise ValueError(f"start must be one of `starts`, {start!r} {reason} in this recording")
        return recording, recording.first[start]

    def _check_known(self, name: str) -> None:
        if name not in self._modules:
            raise ValueError(f"unknown module {name!r}: expected a name of named_modules()")


# Nobody can write into these, so they may be shared; anything else might hide a tensor.
_VALUES = (type(None), bool, int, float, str, torch.Size, torch.dtype, torch.device)


class _Tree:
    """Nested tuples, lists and dicts of tensors and plain values, and whether they were changed."""

    def __init__(self, leaves: list[Any], spec: TreeSpec) -> None:
        self.leaves, self.spec = leaves, spec
        self.tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        self._versions = [t._version for t in self.tensors]  # counts writes, through views too

    @property
    def untouched(self) -> bool:
        return [t._version for t in self.tensors] == self._versions

    def copy(self) -> "_Tree":
        copies = {id(t): t.detach().clone() for t in self.tensors}  # one in two places stays one
        return _Tree([copies.get(id(leaf), leaf) for leaf in self.leaves], self.spec)


def _seen(value: Any) -> _Tree | None:
    """`value` as a tree; None where something in it, as an object, could hide a tensor."""
    leaves, spec = tree_flatten(value)
    return _Tree(leaves, spec) if all(map(_is_open, leaves)) else None


def _is_open(leaf: Any) -> bool:
    if isinstance(leaf, Tensor):
        # Whose memory and writes can be seen: other layouts have no one storage,
        # inference tensors no version counter.
        return leaf.layout is torch.strided and not leaf.is_nested and not leaf.is_inference()
    return isinstance(leaf, _VALUES)


def _tensors(value: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]


def _memory(tensors: Sequence[Tensor]) -> list[int]:
    """Where the storage of each distinct tensor lies."""
    return [t.untyped_storage().data_ptr() for t in {id(t): t for t in tensors}.values()]


def _replayable(output: Any, given: _Tree | None, arguments: Any) -> _Tree | None:
    """A copy of `output` where giving that back is as good as the call: it wrote into none of its
    arguments (`given` before the call) and returned no memory of theirs, nor some memory twice."""
    # Both sides of the call: `given` has the version counters from before it.
    result, after = _seen(output), _seen(arguments)
    if result is None or given is None or after is None or not given.untouched:
        return None
    if [id(leaf) for leaf in given.leaves] != [id(leaf) for leaf in after.leaves]:
        return None  # it changed a list or a dict
    # A copy would cut the tie: a later in-place operation on one view has to show in the other.
    returned = _memory(result.tensors)
    if len(set(returned)) < len(returned) or set(returned) & set(_memory(given.tensors)):
        return None
    return result.copy()


@dataclass(eq=False)
class _Call:
    name: str
    after: int = 0  # how many calls had begun when it ended
    output: _Tree | None = None  # None: compute it
    intact: bool = False  # known: nothing writes into the output later in the pass


@dataclass(eq=False)
class Recording:
    """One pass: its calls in the order in which they began, a call's place there its index."""

    only: Collection[str]
    calls: list[_Call] = field(default_factory=list)
    first: dict[str, int] = field(default_factory=dict)  # the index of each module's first call
    inputs: list[Tensor] = field(default_factory=list)  # copies: the arguments of the first call
    _latest: int = -1  # the first call, of a possible start, that began last
    open: list[list[_Call]] = field(default_factory=lambda: [[]])  # kept in each call under way

    @property
    def nbytes(self) -> int:
        kept = [call.output.tensors for call in self.calls if call.output is not None]
        return sum(t.nbytes for tensors in (self.inputs, *kept) for t in tensors)

    def call(self, name: str, compute: Compute, args: Any, kwargs: Any) -> Any:
        if torch.is_inference_mode_enabled():
            raise ValueError("a pass is recorded under torch.no_grad, not torch.inference_mode")
        made, given = self._begin(name), _seen((args, kwargs))
        # The skeleton's own call: what goes in here is what a resumed pass has to be given again.
        if made is self.calls[0]:
            self.inputs = [t.detach().clone() for t in _tensors((args, kwargs))]
        try:
            output = compute(*args, **kwargs)
            made.output = _replayable(output, given, (args, kwargs))
            return output
        finally:
            made.after = len(self.calls)
            inside = self.open.pop()
            # Giving back a block makes its inside needless, unless a start lies in there; a block
            # that has to compute hands what is kept inside it to the block around it.
            if made.output is None:
                self.open[-1] += inside
            else:
                self.drop(inside)
                self.open[-1].append(made)

    def _begin(self, name: str) -> _Call:
        made = _Call(name)
        # A module that runs twice starts at its first call, so only
        # first calls move the latest start.
        if name not in self.first:
            self.first[name] = len(self.calls)
            self._latest = len(self.calls) if name in self.only else self._latest
        self.calls.append(made)
        self.open.append([])
        return made

    def drop(self, calls: list[_Call]) -> None:
        """Forget, at the end of a call, the outputs inside it that no start inside comes after."""
        for call in calls:
            call.output = call.output if call.after <= self._latest else None


@dataclass(eq=False)
class _Resumption:
    """A pass that takes recorded outputs as long as it can."""

    recording: Recording
    start: int  # the index of the first call that must compute
    _next: int = 0
    _given: list[tuple[_Call, _Tree]] = field(default_factory=list)

    def call(self, name: str, compute: Compute, args: Any, kwargs: Any) -> Any:
        self._check(name, (args, kwargs))
        call = self.recording.calls[self._next]
        # `after` beyond the start: this call holds the start, or comes later, and sees its change.
        if call.output is None or call.after > self.start:
            self._next += 1
            return compute(*args, **kwargs)
        # The calls inside it do not happen.
        self._next = call.after
        _check_untouched(name, call.output)
        # A copy to write into, until one whole pass has shown that nobody does.
        given = call.output if call.intact else call.output.copy()
        self._given.append((call, given))
        return tree_unflatten(given.leaves, given.spec)  # nobody appends to a kept list

    def finish(self, result: Any) -> None:
        """Learn which outputs stay as they are: those need no copy next time. Who touches an
        output is the same for every start, since calls that write always compute."""
        if self._next != len(self.recording.calls):
            raise _reordered("end", self.recording.calls[self._next].name)
        returned = set(_memory(_tensors(result)))  # the caller may write into these
        for call, given in self._given:
            if call.intact:
                _check_untouched(call.name, given)
            call.intact = given.untouched and returned.isdisjoint(_memory(given.tensors))

    def _check(self, name: str, arguments: Any) -> None:
        calls = self.recording.calls
        expected = calls[self._next].name if self._next < len(calls) else "end"
        if name != expected:
            raise _reordered(name, expected)
        # Compared by value, once a pass: what later calls get follows from it.
        if self._next == 0:
            old, new = self.recording.inputs, _tensors(arguments)
            if len(old) != len(new) or not all(map(_same, old, new)):
                raise ValueError("the inputs differ from the recorded ones: record these first")


def _same(a: Tensor, b: Tensor) -> bool:
    """Equal in value, a NaN to a NaN."""
    return a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all())


def _reordered(met: str, expected: str) -> ValueError:
    return ValueError(
        f"modules must be called in the recorded order, got {met!r} in place of {expected!r}: "
        "a network whose passes differ cannot be replayed"
    )


def _check_untouched(name: str, output: _Tree) -> None:
    if not output.untouched:
        raise ValueError(f"something wrote into the kept output of {name!r}: record again")
