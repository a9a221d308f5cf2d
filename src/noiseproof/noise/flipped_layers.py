"""Which layers can give every image of a batch its own noise in one pass."""

from torch import nn

from noiseproof.network import is_plain, kind_of, runs_as
from noiseproof.noise.flipped_linear import LINEAR
from noiseproof.noise.flipped_norms import NORMS
from noiseproof.noise.signs import Layer


def known_layer(module: nn.Module) -> Layer | None:
    """The layer function for `module`; None where it is another kind or has a forward of its own,
    which may use its tensors in another way."""
    kind = kind_of(module)
    if kind is not None:
        return LINEAR.get(kind) if is_plain(module) else None
    return next((layer for cls, layer in NORMS.items() if runs_as(module, [cls])), None)
