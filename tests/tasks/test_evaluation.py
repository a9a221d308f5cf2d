"""A network on a test split: the score, and a network that is left as it was."""

import pytest
import torch
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from noiseproof.core.rng import stream
from noiseproof.data.splits import Boxes, Split
from noiseproof.models import building as models
from noiseproof.specs.catalog import UNSCALED, PixelScale
from noiseproof.tasks.evaluation import check_fits, evaluate
from noiseproof.tasks.table import TASKS

IMAGES = torch.randint(0, 256, (5, 3, 32, 48), generator=stream(0, "x")).to(torch.uint8)
BOX = Boxes(corners=torch.tensor([[1, 2, 30, 20]]), classes=torch.tensor([1]))
SPLITS = {
    "classify": Split(inputs=IMAGES, labels=torch.tensor([0, 1, 2, 1, 0])),
    "segment": Split(inputs=IMAGES, labels=torch.ones(5, 32, 48, dtype=torch.uint8)),
    "detect": Split(inputs=IMAGES, labels=(BOX,) * 5),
}
REFUSED = {
    "classify": "a classifier must return logits",
    "segment": "a segmenter must return logits",
    "detect": "a detector must return a dictionary",
}
MODELS = {"classify": "resnet8", "segment": "lraspp", "detect": "fcos"}


@pytest.mark.parametrize("task", sorted(SPLITS))
def test_a_network_is_evaluated_in_evaluation_mode_and_left_as_it_is(task: str) -> None:
    model = models.build(MODELS[task], classes=3).train()
    before = to_bytes({k: v.clone() for k, v in model.state_dict().items()})
    found = evaluate(model, SPLITS[task], scale=UNSCALED, batch_size=2)
    assert model.training
    assert to_bytes(model.state_dict()) == before
    with torch.no_grad():
        model.eval()
        direct = TASKS[task].evaluate(lambda x: model(x / 255), SPLITS[task], 5)
    assert found.score == pytest.approx(direct.score, abs=1e-6)
    assert found.classes == 3 or task == "detect"


def test_pixels_are_scaled_as_asked() -> None:
    class Bright(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([x.mean((1, 2, 3)), torch.zeros(len(x))], 1)

    gray = torch.full((3, 1, 4, 4), 102, dtype=torch.uint8)
    test = Split(inputs=gray, labels=torch.zeros(3, dtype=torch.int64))
    for mean, hits in ((0.3, 1.0), (0.5, 0.0)):
        scale = PixelScale(mean=(mean,), std=(1.0,))
        assert evaluate(Bright(), test, scale=scale, batch_size=2).score == hits


@pytest.mark.parametrize("task", sorted(SPLITS))
def test_a_network_of_the_task_fits_and_one_of_another_does_not(task: str) -> None:
    for other, name in MODELS.items():
        model = models.build(name, classes=3).train()
        before = to_bytes(model.state_dict())
        if other == task:
            check_fits(model, SPLITS[task], UNSCALED)
            assert model.training
            assert to_bytes(model.state_dict()) == before
        else:
            with pytest.raises(ValueError, match=REFUSED[task]):
                check_fits(model, SPLITS[task], UNSCALED)


def test_what_a_network_cannot_take_is_one_sentence() -> None:
    model = models.build("lraspp", classes=3)
    gray = Split(inputs=IMAGES[:, :1], labels=SPLITS["segment"].labels)
    with pytest.raises(ValueError, match=r"network fails on inputs of shape \(2, 1, 32, 48\): "):
        check_fits(model, gray, UNSCALED)
    with pytest.raises(ValueError, match="images must be >= 1, got 0"):
        check_fits(model, SPLITS["segment"].part(0, 0), UNSCALED)
    few = models.build("lraspp", classes=1)
    with pytest.raises(ValueError, match="the labels go up to 1, the network knows 1 classes"):
        check_fits(few, SPLITS["segment"], UNSCALED)
