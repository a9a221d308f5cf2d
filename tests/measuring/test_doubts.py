"""A clean network near chance, and what is found to be wrong."""

import warnings

import pytest
import torch
from torch import Tensor, nn

import noiseproof as npf
from noiseproof.core.checks import DoubtWarning
from noiseproof.core.rng import stream
from noiseproof.data import Split
from noiseproof.specs import PixelScale, parse_pixel_scale
from tests.measuring.toys import GAUSSIAN

IMAGES, CLASSES = 120, 6


class Colours(nn.Module):
    """The class is which of six bands a colour's mean lies in; it depends on scale and order."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Linear(1, CLASSES)
        with torch.no_grad():
            middles = torch.linspace(-5 / 6, 5 / 6, CLASSES)  # of six even bands
            # -(x - m)^2 without x^2, so the nearest middle wins.
            self.weight.weight.copy_(2 * middles[:, None])
            self.weight.bias.copy_(-(middles**2))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.weight(x[:, :1].mean((2, 3)))
        return out


def pixels() -> Tensor:
    """Images whose first colour tells the class and whose others tell nothing of it."""
    means = torch.rand(IMAGES, 3, 1, 1, generator=stream(0, "colours"))
    images = (255 * means).round().to(torch.uint8)
    return images.expand(IMAGES, 3, 4, 4).contiguous()


HALF = parse_pixel_scale("half")


def answered(images: Tensor) -> Split:
    with torch.no_grad():
        answers = Colours()(npf.data.scaled(images, HALF) * 1.0).argmax(1)
    return Split(inputs=images, labels=answers)


def said(test: Split, scale: PixelScale = HALF) -> str:
    """The warning that measuring gives; "" where there is none."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        npf.measure(Colours(), test, GAUSSIAN, chips=1, scale=scale)
    texts = [str(one.message) for one in caught if issubclass(one.category, DoubtWarning)]
    assert len(texts) <= 1
    if texts:
        assert caught[0].filename == __file__, "in the name of the line that asked"
    return "".join(texts)


def test_a_network_that_is_right_is_not_doubted() -> None:
    assert said(answered(pixels())) == ""


def test_a_wrong_pixel_scale_is_found() -> None:
    text = said(answered(pixels()), PixelScale(mean=(200.0,), std=(0.5,)))
    assert "not told apart from chance" in text
    assert "scores --normalize half 100.0 %" in text


def test_the_order_of_the_colours_is_found() -> None:
    right = answered(pixels())
    swapped = Split(inputs=right.inputs.flip(1), labels=right.labels)  # type: ignore[union-attr]
    assert "blue before red 100.0 %" in said(swapped)


def test_classes_that_begin_at_another_number_are_found() -> None:
    right = answered(pixels())
    kept = (right.labels > 0).nonzero().flatten()  # type: ignore[operator]
    moved = Split(inputs=right.inputs[kept], labels=right.labels[kept] - 1)  # type: ignore[index]
    assert "with labels that are 1 higher it scores 100 [" in said(moved)


def test_classes_in_another_order_are_found() -> None:
    right = answered(pixels())
    order = torch.tensor([3, 5, 1, 4, 0, 2])  # no class keeps its number
    text = said(Split(inputs=right.inputs, labels=order[right.labels]))  # type: ignore[index]
    assert "with its classes in another order it scores 100 [" in text
    assert "--normalize" not in text, "guessing scores more than wrong labels, and explains nothing"


def test_a_network_that_knows_nothing_gets_no_false_cause() -> None:
    images = pixels()
    labels = torch.randint(0, CLASSES, (IMAGES,), generator=stream(1, "labels"))
    text = said(Split(inputs=images, labels=labels))
    assert "not told apart from chance" in text
    assert "scores" not in text


@pytest.mark.parametrize("better", ["lower", "higher"])
def test_a_score_of_ones_own_no_better_than_its_chance_level_is_doubted(better: str) -> None:
    score = npf.Score(lambda model, test: 2.0, better=better, chance=2.0, name="flat")
    with pytest.warns(DoubtWarning, match="the clean flat .*not told apart from chance"):
        npf.measure(Colours(), pixels(), GAUSSIAN, chips=1, score=score)
