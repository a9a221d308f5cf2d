"""The list of a model's tensors: everything is there, and what noise can reach is said."""

import pytest

from noiseproof.measuring.inventory import TensorFacts, inventory
from noiseproof.specs.noise import parse


def by_name(facts: list[TensorFacts]) -> dict[str, TensorFacts]:
    return {fact.name: fact for fact in facts}


def test_every_tensor_is_listed_with_role_and_shape() -> None:
    facts = by_name(inventory("resnet8", norm="batch"))
    assert facts["conv1.weight"].role == "kernel"
    assert facts["conv1.weight"].shape == (16, 3, 3, 3)
    assert facts["linear.bias"].role == "bias"
    assert facts["bn1.weight"].role == "norm_affine"
    assert facts["bn1.running_var"].role == "norm_stats"
    assert facts["bn1.num_batches_tracked"].role == "constant"
    assert {fact.touched for fact in facts.values()} == {None}


@pytest.mark.parametrize("role", ["kernel", "bias", "norm_affine", "norm_stats"])
def test_noise_on_a_role_touches_all_of_its_tensors_though_the_model_is_fresh(role: str) -> None:
    """Fresh gammas are all one, so their own std is zero; a trained network's is not."""
    facts = inventory("resnet8", norm="batch", noise=parse("gaussian(0.1)"), targets=(role,))
    assert {fact.role for fact in facts if fact.touched} == {role}
    assert all(fact.touched for fact in facts if fact.role == role)


def test_targets_that_stay_clean_by_definition_are_not_called_touched() -> None:
    spec = parse("gaussian(0.1, reference=std, scope=channel)")
    facts = inventory("resnet8", norm="batch", noise=spec, targets=("kernel", "norm_affine"))
    assert {fact.role for fact in facts if fact.touched} == {"kernel"}


def test_a_transformers_own_parameters_are_listed_as_other() -> None:
    facts = by_name(inventory("torchvision:vit_b_32", noise=parse("gaussian(0.1)")))
    assert facts["class_token"].role == "other"
    assert not facts["class_token"].touched
    attention = "encoder.layers.encoder_layer_0.self_attention"
    assert facts[f"{attention}.in_proj_weight"].touched
    assert facts[f"{attention}.out_proj.weight"].touched
