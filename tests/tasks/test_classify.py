"""Accuracy and cross-entropy, and where a classifier's logits may be."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from noiseproof.core.rng import stream
from noiseproof.data import Source, Split
from noiseproof.specs import catalog
from noiseproof.tasks.classify import class_logits
from noiseproof.tasks.table import TASKS
from tests.tasks.toys import INF, NAN, Says, numbered, replay

LOGITS = torch.randn(3, 4, generator=stream(0, "logits"))


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_a_hit_is_the_largest_logit_and_finite(batch_size: int) -> None:
    logits = torch.tensor([[1, 0.0], [0, 1], [0, 1], [NAN, NAN], [INF, 0]])
    test = Split(inputs=numbered(5), labels=torch.tensor([0, 1, 0, 0, 0]))
    found = TASKS["classify"].evaluate(replay(logits), test, batch_size)
    assert found.hits is not None
    assert found.hits.tolist() == [True, True, False, False, False]
    assert (found.score, found.classes, found.nonfinite) == (0.4, 2, 2)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda main, other: main,
        lambda main, other: (main, other, None),
        lambda main, other: {"logits": main, "aux": other},
    ],
)
def test_the_loss_of_classes_weighs_auxiliary_heads_with_03(
    wrap: Callable[[Tensor, Tensor], Any],
) -> None:
    truth = torch.tensor([0, 3, 1])
    output = wrap(LOGITS, 2 * LOGITS)
    loss, share = TASKS["classify"].loss(Says(output), torch.zeros(3, 1), truth)

    def literal(logits: Tensor) -> float:
        chosen = [logits[i].log_softmax(0)[t] for i, t in enumerate(truth)]
        return -float(sum(chosen)) / 3

    expected = literal(LOGITS) + (0 if output is LOGITS else 0.3 * literal(2 * LOGITS))
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    assert share == pytest.approx(float((LOGITS.argmax(1) == truth).float().mean()))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda main, other: {"hidden": torch.zeros(3, 7, 2), "logits": main, "aux": other},
        lambda main, other: {"logits": main, "aux": other, "hidden": torch.zeros(3, 9)},
    ],
)
def test_only_tensors_like_the_logits_are_auxiliary_heads(
    wrap: Callable[[Tensor, Tensor], Any],
) -> None:
    truth, x = torch.tensor([0, 3, 1]), torch.zeros(3, 1)
    wanted = TASKS["classify"].loss(Says({"logits": LOGITS, "aux": 2 * LOGITS}), x, truth)
    found = TASKS["classify"].loss(Says(wrap(LOGITS, 2 * LOGITS)), x, truth)
    assert found == wanted


@pytest.mark.parametrize(
    "wrap",
    [
        lambda logits: logits,
        lambda logits: {"logits": logits, "hidden": None},
        lambda logits: SimpleNamespace(logits=logits, loss=None),
    ],
)
def test_logits_are_found_in_what_classifiers_return(wrap: Callable[[Tensor], Any]) -> None:
    truth = torch.tensor([0, 3, 1])
    split = Split(inputs=numbered(3), labels=truth)
    assert class_logits(wrap(LOGITS)) is LOGITS
    TASKS["classify"].check(wrap(LOGITS), split)
    found = TASKS["classify"].evaluate(lambda x: wrap(LOGITS), split, 3)
    assert found.hits is not None
    assert found.hits.tolist() == (LOGITS.argmax(1) == truth).tolist()
    loss, _ = TASKS["classify"].loss(Says(wrap(LOGITS)), torch.zeros(3, 1), truth)
    assert float(loss) == pytest.approx(float(F.cross_entropy(LOGITS, truth)))


@pytest.mark.parametrize(
    ("output", "got"),
    [
        (torch.zeros(3, 4, 2), r"\(3, 4, 2\)"),
        ({"logits": torch.zeros(3)}, r"\(3,\)"),
        ({"scores": LOGITS}, "dict"),
        (SimpleNamespace(scores=LOGITS), "SimpleNamespace"),
        ("cat", "str"),
        ([], "list"),
    ],
)
def test_what_holds_no_logits_is_one_sentence(output: Any, got: str) -> None:
    split = Split(inputs=numbered(3), labels=torch.tensor([0, 3, 1]))
    sentence = rf"a classifier must return logits \(N, C\), or a dictionary or .*, got {got}$"
    with pytest.raises(ValueError, match=sentence):
        TASKS["classify"].check(output, split)


def test_a_network_of_several_inputs_is_trained_on_all_of_them() -> None:
    class Both(nn.Module):
        def forward(self, one: Tensor, two: Tensor) -> Tensor:
            return one - 2 * two

    pair = {"two": LOGITS.flip(0), "one": LOGITS}
    truth = torch.tensor([0, 3, 1])
    wanted = float(F.cross_entropy(LOGITS - 2 * LOGITS.flip(0), truth))
    loss, _ = TASKS["classify"].loss(Both(), pair, truth)
    assert float(loss) == pytest.approx(wanted)
    loss, _ = TASKS["classify"].loss(Both(), (LOGITS, LOGITS.flip(0)), truth)
    assert float(loss) == pytest.approx(wanted)
    with pytest.raises(ValueError, match=r"shape one \(3, 4\): .*missing .*'two'"):
        TASKS["classify"].loss(Both(), {"one": LOGITS}, truth)


def source(**options: Any) -> Source:
    return Source(
        name="own", classes=2, channels=1, scale=catalog.UNSCALED, read=lambda split: None,  # type: ignore[arg-type,return-value]
        **{"shift": 0, "flip": False, **options},
    )  # fmt: skip


def test_what_is_no_image_is_not_moved() -> None:
    batch = Split(inputs=(torch.rand(3, 2), torch.rand(3, 5)), labels=torch.arange(3))
    dice = stream(0, "dice")
    before = dice.get_state()
    assert TASKS["classify"].change(batch, source(), dice) is batch
    assert torch.equal(dice.get_state(), before)
    for wrong in ({"shift": 2}, {"flip": True}):
        with pytest.raises(
            ValueError, match=r"must be images \(N, C, H, W\), got \(3, 2\) and \(3"
        ):
            TASKS["classify"].change(batch, source(**wrong), dice)


def test_images_that_do_not_move_take_their_dice_all_the_same() -> None:
    """A data set with shift=0 and flip=False trains the same weights whatever else changes."""
    images = torch.randint(0, 256, (4, 1, 5, 5), generator=stream(0, "x")).to(torch.uint8)
    batch = Split(inputs=images, labels=torch.arange(4))
    dice = stream(0, "dice")
    before = dice.get_state()
    assert torch.equal(
        torch.as_tensor(TASKS["classify"].change(batch, source(), dice).inputs), images
    )
    assert not torch.equal(dice.get_state(), before)
