"""Which tensors a network multiplies with, found by running it once, whatever classes its layers
have.

Below autograd a layer of any class is a handful of operators. Followed are the tensors of the state
through everything that is made of them alone (a transpose, a scale, a concatenation); where one is
an operand of a product, it is a kernel, and the operand's strides say how it lies. A tensor that
only scales or shifts is none.
"""

import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from noiseproof.core.inputs import Inputs, count, tensors
from noiseproof.network.chip import Chip, outputs
from noiseproof.network.geometry import Tracks
from noiseproof.network.layouts import Layout
from noiseproof.network.operators import PRODUCTS, Operand, Product

NAMELESS = "(no parameter)"


@dataclass(frozen=True, kw_only=True)
class Use:
    """How the products of one pass use a tensor: `macs` of one input, `layout` how it lies, `axis`
    its output channels in what the product returns, from the end."""

    layout: Layout
    axis: int
    macs: int


@dataclass(frozen=True, kw_only=True)
class Products:
    """What one pass of a network multiplies: `uses` of its tensors by name; `looked_up` are tables
    that it reads rows of, `order` all tensors as they are first read. `made`: products with weights
    that are computed from several tensors or stand in none, by the names of those (or of the
    module, and `NAMELESS`): elements and products of one input. `between`: products of activations
    with each other, of one input.
    """

    uses: Mapping[str, Use]
    looked_up: frozenset[str]
    order: tuple[str, ...]
    made: Mapping[tuple[str, ...], tuple[int, int]]
    between: int


def products_of(skeleton: nn.Module, state: Mapping[str, Tensor], x: Inputs) -> Products:
    """What a pass of `skeleton`, a private one, with `state` over the inputs x (N, ...) multiplies.

    Raises:
        ValueError: where the network cannot take such inputs.
    """
    watch = _Watch(skeleton, state, x)
    try:
        with watch:
            outputs(skeleton, Chip(dict(state)), x)
    finally:
        watch.close()
    return watch.found(count(x))


# --- what an operand is made of ------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Origin:
    """What a tensor is made of that depends on no input: of `sources` in all; `kernels` are those
    of which every element stands in it, scaled or not."""

    sources: frozenset[str] = frozenset()
    kernels: frozenset[str] = frozenset()


@dataclass(eq=False)
class _Sum:
    """An elementwise product of an activation with weights, which a sum may make a contraction."""

    weights: Tensor
    size: torch.Size


_LOOK_UPS = ("embedding", "embedding_renorm_", "_embedding_bag", "_embedding_bag_forward_only")
_TORCHS_OWN = ("aten", "prims", "prim", "torchvision")
_JOINED = ("cat", "stack")
_SUMS = ("sum", "mean")


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Follows tensors by their storage: `_known` depends on no input, and is held, so that no later
    tensor comes to the same address; `_made` was made of inputs, and is let go; what is neither is
    a tensor that stands outside of the state."""

    def __init__(self, skeleton: nn.Module, state: Mapping[str, Tensor], x: Inputs) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._tracks = Tracks(state)
        self._state = state
        self._known: dict[int, tuple[Tensor, _Origin]] = {}
        self._made: dict[int, list[weakref.ref[Tensor]]] = {}
        for one in tensors(x):
            self._note_made(one)
        self._sums: dict[int, _Sum] = {}  # by id: elementwise products, until they are summed
        self._held: list[Tensor] = []
        self._uses: dict[str, Use] = {}
        self._made_of: dict[tuple[str, ...], tuple[int, int]] = {}
        self._looked_up: set[str] = set()
        self._order: dict[str, int] = {}
        self._between = 0
        self._running: list[str] = []  # the modules under way, the innermost last
        self._hooks = []
        for name, module in skeleton.named_modules():
            self._hooks.append(module.register_forward_pre_hook(self._before(name)))
            self._hooks.append(module.register_forward_hook(self._after, always_call=True))

    def close(self) -> None:
        """Take the hooks away."""
        for hook in self._hooks:
            hook.remove()

    def found(self, inputs: int) -> Products:
        """What was seen, for one input of as many."""
        uses = {
            name: replace(use, macs=round(use.macs / inputs)) for name, use in self._uses.items()
        }
        made = {names: (n, round(macs / inputs)) for names, (n, macs) in self._made_of.items()}
        return Products(
            uses=uses,
            looked_up=frozenset(self._looked_up),
            order=tuple(self._order),
            made=made,
            between=round(self._between / inputs),
        )

    def _before(self, name: str) -> Callable[[nn.Module, Any], None]:
        def hook(module: nn.Module, args: Any) -> None:
            self._running.append(name)

        return hook

    def _after(self, module: nn.Module, args: Any, output: Any) -> None:
        self._running.pop()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        name = func.overloadpacket.__name__
        given = [one for one in tree_leaves((args, kwargs)) if _is_open(one)]
        if name == "lift_fresh":  # torch.tensor(...), of numbers
            self._known[_storage(given[0])] = (given[0], _Origin())
        origins = [self._origin(one) for one in given]
        product = self._product_of(name, args, kwargs, result)
        if product is not None:
            self._see(product)
        elif name in _LOOK_UPS:
            self._looked_up |= self._origin_of(given[0]).kernels
        elif name in ("mul", "mul_") and len(given) == 2:
            self._remember(given, origins, result)
        elif func.namespace not in _TORCHS_OWN:
            self._see_unknown(origins)
        self._follow(name, given, origins, result, is_product=product is not None)
        return result

    # --- where tensors come from -----------------------------------------------------------------

    def _origin(self, tensor: Tensor) -> _Origin | None:
        """What `tensor` is made of; None where an input is in it."""
        place = _storage(tensor)
        # Alive still, since an address that is free again may be given to anything.
        if any(ref() is not None for ref in self._made.get(place, ())):
            return None
        if place in self._known:
            return self._known[place][1]
        if (name := self._tracks.name_at(tensor)) is not None:
            self._order.setdefault(name, len(self._order))
            return _Origin(sources=frozenset([name]), kernels=frozenset([name]))
        # Neither in the state nor made in this pass: a plain attribute that holds a tensor.
        owner = self._running[-1] if self._running else ""
        foreign = _Origin(sources=frozenset([owner, NAMELESS]))
        self._known[place] = (tensor, foreign)
        return foreign

    def _origin_of(self, tensor: Tensor) -> _Origin:
        return self._origin(tensor) or _Origin()

    def _follow(
        self,
        name: str,
        given: Sequence[Tensor],
        origins: Sequence[_Origin | None],
        result: Any,
        *,
        is_product: bool,
    ) -> None:
        """Note what the outputs of an operator are made of."""
        for out in tree_leaves(result):
            if not _is_open(out) or self._tracks.name_at(out) is not None:
                continue  # a view of the state is that
            place = _storage(out)
            if any(origin is None for origin in origins):
                self._known.pop(place, None)
                self._note_made(out)
            elif place not in self._known or any(out is one for one in given):
                known = [o for o in origins if o is not None]
                made = _without_kernels(known) if is_product or name in _LOOK_UPS else None
                self._known[place] = (out, made or self._joined(name, given, known, out))
                self._made.pop(place, None)  # an address that was free again

    def _note_made(self, tensor: Tensor) -> None:
        refs = self._made.setdefault(_storage(tensor), [])
        refs[:] = [*(ref for ref in refs if ref() is not None), weakref.ref(tensor)]

    def _joined(
        self, name: str, given: Sequence[Tensor], origins: Sequence[_Origin], out: Tensor
    ) -> _Origin:
        sources = frozenset[str]().union(*(o.sources for o in origins))
        if name in _JOINED:
            kernels = frozenset[str]().union(*(o.kernels for o in origins))
            return _Origin(sources=sources, kernels=kernels)
        whole = [(t, o) for t, o in zip(given, origins, strict=True) if t.numel() == out.numel()]
        kernels = frozenset[str]().union(*(o.kernels for _, o in whole))
        if any(o.sources and not o.kernels for _, o in whole):
            # Beside what was computed by products a vector is a bias, a matrix a kernel with a
            # correction of low rank.
            kernels = frozenset(name for name in kernels if self._state[name].dim() > 1)
        like = next((t for t, o in whole if o.kernels and t.shape == out.shape), None)
        if like is not None and kernels:
            self._tracks.copied(like, out)
        return _Origin(sources=sources, kernels=kernels)

    # --- products --------------------------------------------------------------------------------

    def _product_of(self, name: str, args: Any, kwargs: Any, result: Any) -> Product | None:
        if name in PRODUCTS:
            # Operands come by position here; what comes by keyword (masks, factors) is none.
            product = PRODUCTS[name](*args)
            if product.macs is not None:
                return product
            weight = product.operands[1].tensor  # outputs on axis 1: numel / channels places
            return replace(product, macs=result.numel() // result.shape[1] * weight.numel())
        if name in _SUMS and args and isinstance(args[0], Tensor):
            return self._summed(args[0], args[1] if len(args) > 1 else kwargs.get("dim"))
        return None

    def _remember(
        self, given: Sequence[Tensor], origins: Sequence[_Origin | None], result: Tensor
    ) -> None:
        """An elementwise product of weights with activations."""
        weights = [t for t, o in zip(given, origins, strict=True) if o is not None and o.kernels]
        if len(weights) == 1 and any(o is None for o in origins):
            self._sums[id(result)] = _Sum(weights=weights[0], size=result.shape)
            self._held.append(result)  # its id is not given again

    def _summed(self, x: Tensor, axes: Any) -> Product | None:
        """The product that a sum over `axes` of an elementwise one is, if weights vary there."""
        before = self._sums.get(id(x))
        if before is None:
            return None
        axes = range(x.dim()) if axes is None or axes == [] else axes
        axes = [axes] if isinstance(axes, int) else axes
        shift = x.dim() - before.weights.dim()  # weights broadcast from the last axis on
        own = [axis % x.dim() - shift for axis in axes]
        own = [a for a in own if a >= 0 and before.weights.shape[a] > 1]
        if not own:
            return None
        return Product((Operand(x, ()), Operand(before.weights, tuple(own))), x.numel())

    def _see(self, product: Product) -> None:
        macs = product.macs or 0
        if not product.operands:
            self._between += macs
            return
        origins = [self._origin(one.tensor) for one in product.operands]
        kernels = [
            (one, origin)
            for one, origin in zip(product.operands, origins, strict=True)
            if origin is not None and origin.kernels
        ]
        if len(kernels) > 1:  # the one whose owner is running; else weights made of weights
            kernels = [pair for pair in kernels if self._is_owned_here(pair[1].kernels)]
        if len(kernels) == 1:
            self._use(product, *kernels[0])
            return
        made = [o for o in origins if o is not None and o.sources]
        inputs = [o for o in origins if o is None]
        if made and len(made) < len(origins) and not kernels:
            place = next(i for i, o in enumerate(origins) if o is made[0])
            self._add_made(made[0], product.operands[place].tensor.numel(), macs)
        elif inputs:
            self._between += macs

    def _see_unknown(self, origins: Sequence[_Origin | None]) -> None:
        """An operator of somebody's own, which may do anything with the tensors it gets."""
        if any(origin is None for origin in origins):
            for origin in origins:
                kernels = frozenset[str]() if origin is None else origin.kernels
                for name in kernels:
                    if self._state[name].dim() > 1:
                        self._add_made(_Origin(sources=kernels), self._state[name].numel(), 0)

    def _is_owned_here(self, names: Iterable[str]) -> bool:
        here = self._running[-1] if self._running else ""
        return all(name.rpartition(".")[0] == here for name in names)

    def _add_made(self, origin: _Origin, elements: int, macs: int) -> None:
        names = tuple(sorted(origin.sources))
        before = self._made_of.get(names, (0, 0))
        self._made_of[names] = (max(before[0], elements), before[1] + macs)

    def _use(self, product: Product, operand: Operand, origin: _Origin) -> None:
        names = sorted(origin.kernels)
        whole = sum(self._state[name].numel() for name in names)
        for name in names:
            share = round((product.macs or 0) * self._state[name].numel() / whole)
            before = self._uses.get(name)
            if before is None:  # a tensor that lies in two ways lies as its first product has it
                layout = self._layout_of(product, operand, name)
                before = Use(layout=layout, axis=product.axis, macs=0)
            self._uses[name] = replace(before, macs=before.macs + share)

    def _layout_of(self, product: Product, operand: Operand, name: str) -> Layout:
        """How the tensor `name` lies, of which the operand is made."""
        summed = self._tracks.axes(operand.tensor, operand.summed, name)
        kernel = self._state[name]
        if summed is None or kernel.dim() == 1:
            return product.layout or Layout()
        rest = tuple(axis for axis in range(kernel.dim()) if axis not in summed)
        if product.layout is not None and product.layout.groups > 1:
            return product.layout if rest in ((0,), (1,)) else Layout(outputs=rest)
        if rest == (0,):
            return Layout()
        return Layout(input_first=True) if rest == (1,) else Layout(outputs=rest)


def _without_kernels(origins: Iterable[_Origin]) -> _Origin:
    return _Origin(sources=frozenset[str]().union(*(o.sources for o in origins)))


def _is_open(value: Any) -> bool:
    """Is it a tensor whose memory can be seen?"""
    return isinstance(value, Tensor) and value.layout is torch.strided and not value.is_nested


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
