"""torch's transformer encoders with padded tokens, watched from inside."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn


@contextmanager
def padded(skeleton: nn.Module) -> Iterator[None]:
    """Inside the block those encoders of `skeleton`, a private one, that somebody watches by hooks
    keep their padded tokens: in evaluation torch takes them out by nested tensors, which only its
    fused layers can compute with, and a hook inside makes a layer one of its parts. Beside a padded
    token all is as before, and it leaves the last layer as the zero that torch puts back."""
    with ExitStack() as stack:
        for module in skeleton.modules():
            if isinstance(module, nn.TransformerEncoder) and _is_watched(module):
                last = module.layers[-1]
                stack.callback(setattr, module, "use_nested_tensor", module.use_nested_tensor)
                stack.callback(last.register_forward_hook(_emptied, with_kwargs=True).remove)
                module.use_nested_tensor = False
        yield


def _is_watched(encoder: nn.TransformerEncoder) -> bool:
    return bool(getattr(encoder, "use_nested_tensor", False)) and any(
        inner._forward_hooks or inner._forward_pre_hooks for inner in encoder.layers.modules()
    )


def _emptied(layer: nn.Module, args: Any, kwargs: dict[str, Any], output: Tensor) -> Tensor:
    """The last layer's output (N, T, D) with zeros at padded tokens."""
    mask = kwargs.get("src_key_padding_mask")  # (N, T), by torch made -inf at padded tokens
    if mask is None or kwargs.get("src_mask") is not None:
        return output
    kept = mask == 0
    # Only where padding is at the end: elsewhere torch leaves the tokens in too.
    if (kept[:, 1:] & ~kept[:, :-1]).any():
        return output
    return output.masked_fill(~kept[..., None], 0.0)
