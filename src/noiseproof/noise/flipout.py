"""Every image of a batch on a chip of its own, in one pass at about twice the cost.

Image i of a block sees W + N * (s_i r_i^T): N is one draw of the noise for all images of the
block, s_i and r_i are its own random signs of the output and input channels. Where N is symmetric
and independent for each element, every image's noise has exactly the law of a chip, and that of
two images is uncorrelated. Source: Wen, Vicol, Ba, Tran, Grosse, "Flipout", 2018.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.func import functional_call

from noiseproof.core.inputs import (
    Inputs,
    count,
    device_of_inputs,
)
from noiseproof.core.rng import stream
from noiseproof.network import Chip, Kind, State, kind_of, outputs, places, skeleton_of, state_of
from noiseproof.network.linear_maps import linear_maps
from noiseproof.noise.flipped_layers import known_layer
from noiseproof.noise.signs import Flip, Signs, flip_of, random_signs

FLIPPED_ROLES = ("kernel", "embedding", "bias", "norm_affine")


class Flipout:
    """A copy of `skeleton` that runs every image with noise of its own on the tensors `names`
    (of a state). `dice`: what the random streams of each are called (default: as the places of
    `skeleton` say). Not for several threads at once.

    Raises:
        ValueError: for an unknown name, and for a tensor of another role than `kernel`,
            `embedding`, `bias` and `norm_affine`, whose noise cannot be flipped.
    """

    def __init__(
        self,
        skeleton: nn.Module,
        names: Collection[str],
        *,
        dice: Mapping[str, str] | None = None,
    ) -> None:
        self._skeleton = skeleton_of(skeleton)
        self._now: dict[str, Flip] = {}  # of the pass that is running
        _check_names(self._skeleton, names)
        shapes = {name: tensor.shape for name, tensor in state_of(self._skeleton).items()}
        found = places(self._skeleton)
        roles = {name: place.role for name, place in found.items()}
        self._shapes = {name: shapes[name] for name in names}
        self._dice = {name: found[name].dice if dice is None else dice[name] for name in names}
        # Signs of both axes need no second kernel; a vector is small, with a sign for each element.
        self._outer = {
            n for n in names if roles[n] in ("kernel", "embedding") and len(shapes[n]) > 1
        }
        self._groups = {m.weight: m.groups for m in linear_maps(self._skeleton).values()}
        for module, own in _owned(self._skeleton, names):
            # Not a hook: attention and normalisation are computed anew, not corrected afterwards.
            module.forward = partial(self._run, module, own, known_layer(module), module.forward)
        _leave_fast_paths_(self._skeleton)

    @property
    def skeleton(self) -> nn.Module:
        """The copy that runs."""
        return self._skeleton

    def signs(self, seed: int, chip: int, images: int) -> Signs:
        """The signs of a block of `images` images, from the streams (seed, chip, tensor name,
        "signs"). The first ones are the same however many follow."""
        dice = {name: stream(seed, chip, self._dice[name], "signs") for name in self._shapes}
        return Signs(
            images=images, tables={name: self._tables(name, images, g) for name, g in dice.items()}
        )

    def _tables(self, name: str, images: int, g: Generator) -> tuple[Tensor, ...]:
        shape = self._shapes[name]
        if name not in self._outer:
            return (random_signs(images, shape.numel(), g).view(images, *shape),)
        # Both axes from one stream: first those of axis 0, then those of axis 1 in all groups.
        widths = [shape[0], shape[1] * self._groups.get(name, 1)]
        both = random_signs(images, sum(widths), g)
        return torch.split(both, widths, dim=1)

    def outputs(self, base: Chip, noise: Mapping[str, Tensor], signs: Signs, x: Inputs) -> Any:
        """What the network returns for x (n, ...) where image i sees `base` plus `noise` under row
        i of `signs` (n images); with every sign plus, that is the chip `base` + `noise`.

        `noise` may hold a part of the names; the layers of the others cost nothing more. `base`,
        `noise` and signs go to the device of x: move them there once for many batches.

        Raises:
            ValueError: where the network cannot take such inputs, `noise` has another tensor,
                `signs` is of another number of images, or `base` has products.
        """
        if base.products:
            raise ValueError(
                "per-image chips hold for noise on weights alone, and something happens at the "
                f"products of {next(iter(base.products))!r}: use the design `chips`"
            )
        if unknown := sorted(noise.keys() - self._shapes.keys()):
            raise ValueError(f"noise must be on the tensors of this Flipout, got {unknown[0]!r}")
        if count(x) != signs.images:
            raise ValueError(f"signs must be of the {count(x)} images, got those of {signs.images}")
        state = placed(device_of_inputs(x), base.state)
        # The layers look up here what is running: a module's forward has no argument for it.
        self._now = {name: flip_of(state[name], n, signs.tables[name]) for name, n in noise.items()}
        try:
            return outputs(self._skeleton, Chip(state), x)
        finally:
            self._now = {}

    def _run(
        self,
        module: nn.Module,
        own: dict[str, str],
        layer: Any,
        forward: Any,
        *args: Any,
        **kw: Any,
    ) -> Any:
        """What `module` returns in the pass that is running; `own`: the state's names by local."""
        flips = {local: self._now[name] for local, name in own.items() if name in self._now}
        if not flips:
            return forward(*args, **kw)
        if layer is not None:
            return layer(module, forward, flips, *args, **kw)
        return self._image_by_image(module, own, flips, args, kw)

    def _image_by_image(
        self,
        module: nn.Module,
        own: dict[str, str],
        flips: dict[str, Flip],
        args: tuple[Any, ...],
        kw: dict[str, Any],
    ) -> Any:
        """What `module` returns when each image runs alone, with its literal tensors."""
        if not args or not isinstance(args[0], Tensor):
            raise ValueError(f"a {type(module).__name__} with noise must get a tensor first")
        first, rest = _image_axes(module)
        images = len(next(iter(flips.values())).first)
        rows = args[0].shape[first]
        if rows % images:
            raise ValueError(f"a {type(module).__name__} with noise gets {rows} rows for {images}")
        # Inside a pass a module holds the tensors of `base`, not the skeleton's own.
        clean = {local: tensor for local, tensor in _tensors(module).items() if local in flips}
        parts = []
        for i in range(images):
            # An image may have several rows (windows in the batch), one after another.
            one = partial(_part, rows=rows, start=i * rows // images, size=rows // images)
            # What of this layer is noisy stands in `literal`, so its own `_run`, which is called
            # again, must add nothing (`without`). Layers inside it take the flips of this image
            # alone.
            literal = {local: w + flips[local].of_image(i) for local, w in clean.items()}
            inputs = (one(args[0], axis=first), *(one(value, axis=rest) for value in args[1:]))
            options = {key: one(value, axis=rest) for key, value in kw.items()}
            # This module's tensors are literal now; what lies inside it still flips.
            with self._alone(i, without=own.values()):
                parts.append(functional_call(module, literal, inputs, options))
        return _joined(parts, first, rest)

    @contextmanager
    def _alone(self, i: int, *, without: Iterable[str]) -> Iterator[None]:
        """Inside the block the pass is that of image i, and the tensors `without` are clean."""
        before, outside = self._now, set(without)
        self._now = {name: f.image(i) for name, f in before.items() if name not in outside}
        try:
            yield
        finally:
            self._now = before


def placed(device: torch.device, state: Mapping[str, Tensor]) -> State:
    """A state on a device; what is there already is shared."""
    return {name: tensor.to(device) for name, tensor in state.items()}


# --- the modules of a network --------------------------------------------------------------------


def _check_names(model: nn.Module, names: Collection[str]) -> None:
    known = places(model)
    for name in names:
        if name not in known:
            raise ValueError(f"noise must be on a tensor of the network, got {name!r}")
        if known[name].role not in FLIPPED_ROLES:
            raise ValueError(
                f"per-image chips do not hold for noise on {name!r} (role {known[name].role}; only "
                f"{', '.join(FLIPPED_ROLES)} can be flipped): use the design `chips`"
            )


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    """The tensors that the module's own forward uses, by local name: its own, and those of an
    attention's output projection, which is never called as a module."""
    inner = kind_of(module) == Kind.ATTENTION
    parameters = module.named_parameters(recurse=inner, remove_duplicate=False)
    return dict([*parameters, *module.named_buffers(recurse=inner, remove_duplicate=False)])


def _owned(model: nn.Module, names: Collection[str]) -> list[tuple[nn.Module, dict[str, str]]]:
    """The modules that use some of `names`: the state's name of each by its local name. A tied
    tensor has one name in every module."""
    # By identity, since a tied tensor is named by its first place only.
    tensors = (*model.named_parameters(), *model.named_buffers())
    known = {id(tensor): name for name, tensor in tensors if name in names}
    found = []
    for module in model.modules():
        local = {key: known[id(t)] for key, t in _tensors(module).items() if id(t) in known}
        if local:
            found.append((module, local))
    return found


def _leave_fast_paths_(model: nn.Module) -> None:
    """Torch's transformer layers skip the forward of the layers inside where nothing hooks in."""
    for module in model.modules():
        # One fused kernel takes all weights of a layer (torch 2.14:
        # _transformer_encoder_layer_fwd); a hook, even one that does nothing, keeps torch from it.
        if isinstance(module, nn.TransformerEncoderLayer):
            module.register_forward_pre_hook(lambda module, args: None)
        # Nested tensors leave padded tokens out: the images' rows would have unlike lengths.
        if isinstance(module, nn.TransformerEncoder):
            module.use_nested_tensor = False


def _image_axes(module: Any) -> tuple[int, int]:
    """The axis of the images in the first input and output, and in the others."""
    if kind_of(module) == Kind.RECURRENT:
        # Hidden states are (levels, N, width) whatever `batch_first` says.
        return (0 if module.batch_first else 1), 1
    return 0, 0


def _part(value: Any, *, axis: int, rows: int, start: int, size: int) -> Any:
    """One image's part of an input; what has no row for every image is shared."""
    if isinstance(value, tuple):
        return tuple(_part(v, axis=axis, rows=rows, start=start, size=size) for v in value)
    # What has another length there, a mask or a table of positions, is every image's.
    if isinstance(value, Tensor) and value.dim() > axis and value.shape[axis] == rows:
        return value.narrow(axis, start, size)
    return value


def _joined(parts: list[Any], first: int, rest: int) -> Any:
    """The outputs of the images as one, tensor by tensor."""
    if isinstance(parts[0], Tensor):
        return torch.cat(parts, dim=first)
    if isinstance(parts[0], tuple):
        axes = [first] + [rest] * (len(parts[0]) - 1)
        columns = [list(column) for column in zip(*parts, strict=True)]
        return tuple(_joined(c, axis, rest) for c, axis in zip(columns, axes, strict=True))
    raise ValueError(f"a layer with noise must return tensors, got a {type(parts[0]).__name__}")
