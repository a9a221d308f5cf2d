"""Which normalisation layers stand directly behind a layer that can take them over."""

import copy
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torchvision.ops import FrozenBatchNorm2d

from noiseproof.core.inputs import Inputs
from noiseproof.network.norms import ScaledBatchNorm, channels_of, is_batch_norm
from noiseproof.network.state import outputs

_LAYERS = (
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
)
_NORMS = (_BatchNorm, ScaledBatchNorm, FrozenBatchNorm2d)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A layer and the normalisation behind it, by their names in the network."""

    layer: str
    norm: str
    eps: float
    channels: int
    groups: int | None = None  # of a transposed convolution, whose output channels are axis 1

    @property
    def kernel(self) -> str:
        return f"{self.layer}.weight"

    @property
    def bias(self) -> str:
        return f"{self.layer}.bias"

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
        for name, factor in ((self.bias, scale), (f"{self.norm}.bias", None)):
            if name in state:
                shift = shift + state[name]
            if factor is not None:
                shift = shift * factor
        return shift

    def scaled(self, kernel: Tensor, scale: Tensor) -> Tensor:
        """`kernel` times the scale of each output channel: a new tensor, laid out the same."""
        if self.groups is None:
            factor = scale.view(-1, *[1] * (kernel.dim() - 1))
        else:  # output channel g * size(1) + j is slice j of the g-th part of axis 0
            rows = scale.view(self.groups, -1)
            rows = rows.repeat_interleave(kernel.shape[0] // self.groups, dim=0)
            factor = rows.view(*rows.shape, *[1] * (kernel.dim() - 2))
        return (kernel * factor).to(kernel.dtype)


def shared_copy(skeleton: nn.Module) -> nn.Module:
    """`skeleton` with modules of its own and the same tensors."""
    tensors = (*skeleton.parameters(), *skeleton.buffers())
    return copy.deepcopy(skeleton, {id(tensor): tensor for tensor in tensors})


def pairs_of(skeleton: nn.Module, state: Mapping[str, Tensor], example: Inputs) -> list[Pair]:
    """The pairs of a network as a pass over `example` shows them.

    Raises:
        ValueError: where the network cannot take such inputs.
    """
    watched = shared_copy(skeleton)
    alone = dict(_standing_alone(watched, state))
    buffers = {name: state[name].clone() for name, _ in watched.named_buffers() if name in state}
    watch = _Watch(alone)
    with watch:
        result = outputs(watched, {**state, **buffers}, example)  # it may write into its buffers
    watch.read_(result)
    taken = Counter(watch.takers.values())
    found = []
    for norm, layer in watch.takers.items():
        single = watch.calls[layer] == watch.calls[norm] == taken[layer] == 1
        if single and layer not in watch.read and _fit(alone[layer], alone[norm]):
            found.append(_pair(layer, alone[layer], norm, alone[norm]))
    return found


def _pair(layer: str, module: nn.Module, norm: str, normalisation: nn.Module) -> Pair:
    groups = module.groups if isinstance(module, _ConvTransposeNd) else None
    eps = float(normalisation.eps)  # type: ignore[arg-type]  # every batch normalisation has one
    return Pair(layer=layer, norm=norm, eps=eps, channels=channels_of(normalisation), groups=groups)


def _fit(layer: nn.Module, norm: nn.Module) -> bool:
    if isinstance(layer, nn.Linear):
        return layer.out_features == channels_of(norm)
    return isinstance(layer, _ConvNd) and layer.out_channels == channels_of(norm)


def _standing_alone(
    skeleton: nn.Module, state: Mapping[str, Tensor]
) -> Iterator[tuple[str, nn.Module]]:
    """Layers and normalisations that do what their class says and share nothing, by name."""
    modules = Counter(id(m) for _, m in skeleton.named_modules(remove_duplicate=False))
    tensors = Counter(
        id(tensor)
        for named in (skeleton.named_parameters, skeleton.named_buffers)
        for _, tensor in named(remove_duplicate=False)
    )
    for name, module in skeleton.named_modules():
        own = {**module._parameters, **module._buffers}
        if (
            name
            and modules[id(module)] == 1
            and all(tensors[id(t)] == 1 for t in own.values() if t is not None)
            and all(f"{name}.{local}" in state for local, t in own.items() if t is not None)
            and "forward" not in vars(module)
            and not (module._modules or module._forward_hooks or module._forward_pre_hooks)
            and (_is_layer(module) or _is_norm(module))
        ):
            yield name, module


def _is_layer(module: nn.Module) -> bool:
    return "weight" in module._parameters and any(
        isinstance(module, cls) and type(module).forward is cls.forward for cls in _LAYERS
    )


def _is_norm(module: nn.Module) -> bool:
    return (
        is_batch_norm(module)
        and not (module.training and isinstance(module, _BatchNorm))
        and any(type(module).forward is cls.forward for cls in _NORMS)
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
        self.read_((args, kwargs))
        return func(*args, **(kwargs or {}))

    def read_(self, values: Any) -> None:
        """Note that `values` were used, save by the norm that runs now."""
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
            took = next((t for t in self._kept if len(args) == 1 and args[0] is t), None)
            if took is not None:
                self._taken = self.takers[name] = self._made[_storage(took)]

        return hook

    def _after_norm(self, module: nn.Module, args: Any, output: Tensor) -> None:
        self._taken = ""


def _storage(value: Any) -> int:
    return value.untyped_storage()._cdata if isinstance(value, Tensor) else 0
