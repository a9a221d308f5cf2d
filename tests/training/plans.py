"""A small plan and its data."""

from noiseproof.data import Source
from noiseproof.data.datasets import open_dataset
from noiseproof.specs.recipes import Plan, Recipe

PLAN = Plan(
    model="resnet8",
    norm="batch_l1",
    norm_where="all",
    recipe=Recipe(epochs=2, batch_size=64),
    seed=5,
)


def digits() -> Source:
    return open_dataset("digits")
