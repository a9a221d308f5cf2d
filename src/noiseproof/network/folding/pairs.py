"""Which normalisation layers stand directly behind a layer that can take them over."""

import copy
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torchvision.ops import FrozenBatchNorm2d

from noiseproof.core.inputs import Inputs
from noiseproof.network.chip import Chip, outputs
from noiseproof.network.layouts import by_output, channels
from noiseproof.network.linear_maps import (
    Kind,
    LinearMap,
    linear_maps,
    runs_as,
)
from noiseproof.network.norms import ScaledBatchNorm, channels_of, is_batch_norm

_FOLDABLE = (Kind.CONVOLUTION, Kind.TRANSPOSED, Kind.LINEAR)
_NORMS = (_BatchNorm, ScaledBatchNorm, FrozenBatchNorm2d)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A layer's linear map and the normalisation behind it, by its name in the network."""

    map: LinearMap
    norm: str
    eps: float
    channels: int

    @property
    def layer(self) -> str:
        return self.map.layer

    @property
    def kernel(self) -> str:
        return self.map.weight

    @property
    def bias(self) -> str:
        assert self.map.bias is not None  # every kind that folds may have one
        return self.map.bias

    @property
    def norm_tensors(self) -> frozenset[str]:
        """The names that a state may have for the normalisation."""
        own = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
        return frozenset(f"{self.norm}.{name}" for name in own)

    def scale(self, state: Mapping[str, Tensor]) -> Tensor:
        """gamma / sqrt(var + eps), (channels,)."""
        scale = (state[f"{self.norm}.running_var"] + self.eps).rsqrt()
        gamma = state.get(f"{self.norm}.weight")
        return scale if gamma is None else scale * gamma

    def shift(self, state: Mapping[str, Tensor], scale: Tensor) -> Tensor:
        """beta + (bias - mean) scale, (channels,)."""
        shift = -state[f"{self.norm}.running_mean"]
        # In this order: (bias - mean) first, times the scale, then beta.
        for name, factor in ((self.bias, scale), (f"{self.norm}.bias", None)):
            if name in state:
                shift = shift + state[name]
            if factor is not None:
                shift = shift * factor
        return shift

    def scaled(self, kernel: Tensor, scale: Tensor) -> Tensor:
        """`kernel` times the scale of each output channel: a new tensor, laid out the same."""
        # A scale of float32 would make a half-precision kernel wider than the network expects.
        return (kernel * by_output(scale, kernel, self.map)).to(kernel.dtype)


def shared_copy(skeleton: nn.Module) -> nn.Module:
    """`skeleton` with modules of its own and the same tensors."""
    tensors = (*skeleton.parameters(), *skeleton.buffers())
    return copy.deepcopy(skeleton, {id(tensor): tensor for tensor in tensors})


def pairs_of(skeleton: nn.Module, state: Mapping[str, Tensor], example: Inputs) -> list[Pair]:
    """The pairs of a network as a pass over `example` shows them.

    Raises:
        ValueError: where the network cannot take such inputs.
    """
    # Hooks go on modules of its own; the tensors, which are large, stay the same.
    watched = shared_copy(skeleton)
    maps = {
        name: one
        for name, one in linear_maps(watched).items()
        # One scale fits one kernel: a layer of several maps (attention) cannot take a norm over.
        if name == one.layer and one.plain and one.kind in _FOLDABLE
    }
    modules = dict(watched.named_modules())
    alone = {
        name: modules[name]
        for name in _standing_alone(watched, state)
        if name in maps or _is_norm(modules[name])
    }
    buffers = {name: state[name].clone() for name, _ in watched.named_buffers() if name in state}
    watch = _Watch(alone)
    with watch:
        result = outputs(watched, Chip({**state, **buffers}), example)  # it may write into buffers
    # What the network returns is read by the caller, as features beside logits are.
    watch.read_(result)
    # An output that two norms take carries two scales; one call more of either layer, and the other
    # call would be scaled too.
    taken = Counter(watch.takers.values())
    found = []
    for norm, layer in watch.takers.items():
        # A layer that runs twice, or feeds two norms, would need two scales in one kernel.
        single = watch.calls[layer] == watch.calls[norm] == taken[layer] == 1
        pair = _pair(maps[layer], norm, alone[norm])
        if (
            single
            and layer not in watch.read
            and channels(state[pair.kernel], pair.map) == pair.channels
        ):
            found.append(pair)
    return found


def _pair(linear_map: LinearMap, norm: str, module: nn.Module) -> Pair:
    eps = float(module.eps)  # type: ignore[arg-type]  # every batch normalisation has one
    return Pair(map=linear_map, norm=norm, eps=eps, channels=channels_of(module))


def _standing_alone(skeleton: nn.Module, state: Mapping[str, Tensor]) -> Iterator[str]:
    """The modules that share nothing, have nothing inside and nobody who listens, by name."""
    modules = Counter(id(m) for _, m in skeleton.named_modules(remove_duplicate=False))
    # remove_duplicate=False: a tied tensor or a reused module shows by its count.
    tensors = Counter(
        id(tensor)
        for named in (skeleton.named_parameters, skeleton.named_buffers)
        for _, tensor in named(remove_duplicate=False)
    )
    for name, module in skeleton.named_modules():
        own = {**module._parameters, **module._buffers}
        if (
            # The network itself has the name "", and stands in no module that could hold another.
            name
            and modules[id(module)] == 1
            # A tied tensor would be scaled in its other places too.
            and all(tensors[id(t)] == 1 for t in own.values() if t is not None)
            # What the state leaves to the skeleton cannot be folded from the state.
            and all(f"{name}.{local}" in state for local, t in own.items() if t is not None)
            # A hook would see other values than in the network as it is, and a module inside (a
            # norm with its activation) would go with the norm.
            and not (module._modules or module._forward_hooks or module._forward_pre_hooks)
        ):
            yield name


def _is_norm(module: nn.Module) -> bool:
    return (
        is_batch_norm(module)
        # In training mode the statistics are the batch's own; a frozen one has no such mode.
        and not (module.training and isinstance(module, _BatchNorm))
        and runs_as(module, _NORMS)
        and getattr(module, "running_mean", None) is not None
        and getattr(module, "running_var", None) is not None
    )


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Follows the outputs of `modules` through one pass: `takers` maps a norm to the layer whose
    output it took, `read` are layers whose output was read anywhere else, `calls` counts."""

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.takers: dict[str, str] = {}
        self.read: set[str] = set()
        self.calls: Counter[str] = Counter()
        self._made: dict[int, str] = {}  # storage -> layer
        self._kept: list[Tensor] = []  # a freed storage's address would be used again
        self._taken = ""  # the layer whose norm runs now
        for name, module in modules.items():
            if _is_norm(module):
                module.register_forward_pre_hook(self._before_norm(name))
                module.register_forward_hook(self._after_norm)
            else:
                module.register_forward_hook(self._after_layer(name))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # Below autograd, so it meets every operation, written as a
        # module, a function or an operator.
        self.read_((args, kwargs))
        return func(*args, **(kwargs or {}))

    def read_(self, values: Any) -> None:
        """Note that `values` were used, save by the norm that runs now."""
        # By storage, so that reading a view of an output is reading the output; the norm's own
        # operators read it too, while it is the one that runs.
        met = (self._made.get(_storage(v), "") for v in tree_leaves(values))
        self.read |= {layer for layer in met if layer not in ("", self._taken)}

    def _after_layer(self, name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(module: nn.Module, args: Any, output: Tensor) -> None:
            self.calls[name] += 1
            self._made[_storage(output)] = name
            self._kept.append(output)

        return hook

    def _before_norm(self, name: str) -> Callable[[nn.Module, Any], None]:
        def hook(module: nn.Module, args: tuple[Any, ...]) -> None:
            self.calls[name] += 1
            # The very tensor, no view of it: a reshape in between may put other channels on axis 1.
            took = next((t for t in self._kept if len(args) == 1 and args[0] is t), None)
            if took is not None:
                self._taken = self.takers[name] = self._made[_storage(took)]

        return hook

    def _after_norm(self, module: nn.Module, args: Any, output: Tensor) -> None:
        self._taken = ""


def _storage(value: Any) -> int:
    # By storage, so that reading a view counts as reading the layer's output.
    return value.untyped_storage()._cdata if isinstance(value, Tensor) else 0
