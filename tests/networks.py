"""Small networks of other libraries, for the tests of every wing."""

from torch import nn
from torchvision.models import VisionTransformer


def small_vit(size: int = 16, patch: int = 8, *, layers: int = 2, classes: int = 4) -> nn.Module:
    """A vision transformer for images of 3 x `size` x `size`, whose classes differ."""
    vit = VisionTransformer(
        image_size=size,
        patch_size=patch,
        num_layers=layers,
        num_heads=2,
        hidden_dim=8,
        mlp_dim=16,
        num_classes=classes,
    )
    nn.init.normal_(vit.heads.head.weight)  # torchvision starts it at zero
    return vit
