"""What a recipe may ask for beyond its numbers: short gradients, compiled steps."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from noiseproof.models.checkpoint import load_state
from noiseproof.network.state import State
from noiseproof.specs.recipes import Plan, Recipe
from noiseproof.training.loop import _build, advance, train
from noiseproof.training.progress import Progress
from tests.training.plans import PLAN, digits


def _trained(recipe: Recipe, out: Path) -> State:
    train(_plan(recipe), digits(), out, device="cpu")
    return load_state(out / "weights.safetensors")


def _plan(recipe: Recipe) -> Plan:
    return replace(PLAN, norm="none", recipe=recipe)


def test_a_gradient_is_shortened_to_what_the_recipe_says(tmp_path: Path) -> None:
    recipe = Recipe(epochs=1, batch_size=64, weight_decay=0, momentum=0, lr=0.1, augment=False)
    before = dict(_build(_plan(recipe), digits()).named_parameters())
    after = _trained(replace(recipe, clip_gradient=1e-3), tmp_path)
    steps = -(-len(digits().read("train")) // 64)
    moved = torch.cat([(after[name] - tensor).flatten() for name, tensor in before.items()])
    # No step is longer than rate times gradient, and the rate is 0.1 at most; float32 rounds.
    assert 0 < moved.norm() <= steps * 0.1 * 1e-3 * 1.001
    free = _trained(recipe, tmp_path / "free")
    apart = torch.cat([(free[name] - tensor).flatten() for name, tensor in before.items()])
    assert apart.norm() > steps * 0.1 * 1e-3


def test_a_gradient_that_is_short_enough_stays_as_it_is(tmp_path: Path) -> None:
    recipe = Recipe(epochs=1, batch_size=64)
    free = _trained(recipe, tmp_path / "free")
    bound = _trained(replace(recipe, clip_gradient=1e6), tmp_path / "bound")
    assert all(torch.equal(free[name], tensor) for name, tensor in bound.items())


@pytest.mark.parametrize("length", [0, -1.0, float("inf"), float("nan")])
def test_a_gradient_has_a_length_to_be_shortened_to(length: float) -> None:
    with pytest.raises(ValueError, match="clip_gradient must be finite and > 0, got"):
        Recipe(clip_gradient=length)


@pytest.mark.slow
def test_compiled_steps_are_those_of_the_network_up_to_rounding(tmp_path: Path) -> None:
    def losses(*, compiled: bool) -> list[float]:
        seen: list[Progress] = []
        plan = replace(PLAN, recipe=Recipe(epochs=2, batch_size=512, lr=0.01, compiled=compiled))
        advance(
            *(plan, digits(), tmp_path / str(compiled)),
            device="cpu",
            on_progress=seen.append,
            look_every=1,
        )
        return [one.loss for one in seen]

    # The last batch of an epoch is smaller than the others, and is compiled too.
    assert losses(compiled=True) == pytest.approx(losses(compiled=False), rel=1e-3)
    names = load_state(tmp_path / "True" / "weights.safetensors").keys()
    assert names == load_state(tmp_path / "False" / "weights.safetensors").keys()
