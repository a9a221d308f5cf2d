"""Checkpoints of unusual form: what is read, and into what."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from noiseproof.models.checkpoint import fill, load_state, save_weights

STATE = {"weight": torch.arange(6.0).view(2, 3), "bias": torch.zeros(2)}


def wrapped(prefix: str) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in STATE.items()}


@pytest.mark.parametrize(
    "content",
    [
        STATE,
        {"state_dict": STATE, "epoch": 3},
        {"model": STATE},
        {"model_state_dict": STATE, "loss": 0.1},
        {"state_dict": {"model": STATE}},
        wrapped("module."),
        wrapped("_orig_mod."),
        wrapped("module._orig_mod."),
        {"state_dict": wrapped("module.")},
        {**wrapped("module."), "n_averaged": torch.tensor(5)},  # AveragedModel
    ],
)
def test_a_state_dict_is_found_wherever_it_is_wrapped(
    tmp_path: Path, content: dict[str, object]
) -> None:
    torch.save(content, tmp_path / "w.pt")
    found = load_state(tmp_path / "w.pt")
    assert found.keys() == STATE.keys()
    assert torch.equal(found["weight"], STATE["weight"])


def test_a_model_with_a_part_called_module_keeps_its_names(tmp_path: Path) -> None:
    state = {**wrapped("module."), "head.weight": torch.zeros(1)}
    torch.save(state, tmp_path / "w.pt")
    assert load_state(tmp_path / "w.pt").keys() == state.keys()


def test_half_precision_and_safetensors_fill_a_model(tmp_path: Path) -> None:
    save_file({name: tensor.half() for name, tensor in STATE.items()}, tmp_path / "w.safetensors")
    model = nn.Linear(3, 2)
    fill(model, load_state(tmp_path / "w.safetensors"), name="a linear layer")
    assert model.weight.dtype == torch.float32
    assert torch.equal(model.weight, STATE["weight"])


def test_tied_weights_are_written_once_and_read_into_both_places(tmp_path: Path) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
            self.second.weight = self.first.weight

    model, other = Tied(), Tied()
    save_weights(model, tmp_path / "w.safetensors")
    state = load_state(tmp_path / "w.safetensors")
    assert "second.weight" not in state
    fill(other, state, name="a tied model")
    assert torch.equal(other.second.weight, model.first.weight)
    assert other.second.weight is other.first.weight


@pytest.mark.parametrize("cut", [1, 10, 100, 1000])
@pytest.mark.parametrize("legacy", [True, False])
def test_a_file_cut_anywhere_is_one_sentence(tmp_path: Path, cut: int, *, legacy: bool) -> None:
    path = tmp_path / "w.pt"
    torch.save({"w": torch.zeros(1000)}, path, _use_new_zipfile_serialization=not legacy)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ValueError, match="is not a readable checkpoint|is refused"):
        load_state(path)
