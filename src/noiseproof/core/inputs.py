"""What goes into a network: a tensor, a tuple of tensors or a dict of them, the sample on axis 0 of
each. A tuple reaches the network as positional arguments, a dict as keyword arguments."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

Inputs = Tensor | tuple[Tensor, ...] | dict[str, Tensor]
I = TypeVar("I", bound=Inputs)  # noqa: E741  # the kind that goes in comes out


def as_inputs(found: object, what: str = "inputs") -> Inputs:
    """`found` as inputs: lists become tuples and mappings dicts; tensors are shared.

    Raises:
        ValueError: for anything else, for no tensor at all, and for tensors of unlike lengths.
    """
    if isinstance(found, Tensor):
        return found
    if isinstance(found, Mapping) and all(isinstance(name, str) for name in found):
        known: Inputs = dict(found)
    elif isinstance(found, list | tuple):
        known = tuple(found)
    else:
        raise ValueError(
            f"{what} must be a tensor, or a tuple or dict of tensors, got {type(found).__name__}"
        )
    wrong = [type(one).__name__ for one in tensors(known) if not isinstance(one, Tensor)]
    if wrong or not known:
        raise ValueError(f"{what} must be tensors, got {wrong[0] if wrong else 'none'}")
    if any(not one.dim() for one in tensors(known)):
        raise ValueError(f"{what} must have the sample on axis 0, got {shapes(known)}")
    if len({len(one) for one in tensors(known)}) > 1:
        raise ValueError(f"{what} must be equally many, got tensors {shapes(known)}")
    return known


def tensors(inputs: Inputs) -> list[Tensor]:
    """The tensors in their order; shared."""
    if isinstance(inputs, Tensor):
        return [inputs]
    return list(inputs.values()) if isinstance(inputs, dict) else list(inputs)


def named_tensors(inputs: Inputs, name: str) -> dict[str, Tensor]:
    """The tensors by name: a single one is called `name`, those of a tuple by their places."""
    if isinstance(inputs, Tensor):
        return {name: inputs}
    return dict(inputs) if isinstance(inputs, dict) else {str(i): t for i, t in enumerate(inputs)}


def map_tensors(inputs: I, change: Callable[[Tensor], Tensor]) -> I:
    """Inputs of the same kind with `change` of each tensor."""
    if isinstance(inputs, Tensor):
        return cast(I, change(inputs))
    if isinstance(inputs, dict):
        return cast(I, {name: change(tensor) for name, tensor in inputs.items()})
    return cast(I, tuple(change(tensor) for tensor in inputs))


def count(inputs: Inputs) -> int:
    """How many samples there are."""
    return len(tensors(inputs)[0])


def rows(inputs: I, places: slice | Tensor) -> I:
    """The samples of a slice (shared), or those at the places (n,), in that order (copied)."""
    return map_tensors(inputs, lambda tensor: tensor[places])


def parts(inputs: I, size: int) -> list[I]:
    """The samples in order, `size` at a time; the last part may be smaller."""
    return [rows(inputs, slice(i, i + size)) for i in range(0, count(inputs), size)]


def joined(several: list[I]) -> I:
    """Inputs of one kind as one, one after the other."""
    columns = iter([torch.cat(column) for column in zip(*map(tensors, several), strict=True)])
    return map_tensors(several[0], lambda _: next(columns))


def to(inputs: I, device: torch.device) -> I:
    """The inputs on the device; shared where they are there."""
    return map_tensors(inputs, lambda tensor: tensor.to(device))


def device_of_inputs(inputs: Inputs) -> torch.device:
    """Where the inputs are."""
    return tensors(inputs)[0].device


def numel(inputs: Inputs) -> int:
    """The elements of all tensors together."""
    return sum(tensor.numel() for tensor in tensors(inputs))


def shapes(inputs: Inputs) -> str:
    """`(2, 3, 8, 8)`, `(2, 3) and (2, 5)` or `ids (2, 5), mask (2, 5)`, for messages."""
    if isinstance(inputs, dict):
        return ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in inputs.items())
    return " and ".join(str(tuple(tensor.shape)) for tensor in tensors(inputs))


def channels(inputs: Inputs) -> int:
    """Axis 1 of a single tensor; 1 where it has none, or there are several tensors."""
    one = isinstance(inputs, Tensor) and inputs.dim() > 1
    return inputs.shape[1] if isinstance(inputs, Tensor) and one else 1


def as_call(inputs: Inputs) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
    """The positional and the keyword arguments that a network gets."""
    if isinstance(inputs, dict):
        return (), inputs
    return (inputs,) if isinstance(inputs, Tensor) else inputs, {}


def tensors_within(output: Any) -> list[Tensor]:
    """The tensors in what a network returns, one level of unknown objects included."""
    leaves = tree_leaves(output)
    for leaf in list(leaves):
        leaves += [] if isinstance(leaf, Tensor) else tree_leaves(getattr(leaf, "__dict__", ()))
    return [leaf for leaf in leaves if isinstance(leaf, Tensor)]


def count_of_call(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> int:
    """How many samples a network was called with: axis 0 of the first tensor it was given."""
    return next(len(one) for one in (*args, *kwargs.values()) if isinstance(one, Tensor))
