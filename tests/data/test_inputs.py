"""Splits of several tensors: what is held, cut, counted and refused; and the fingerprints that rows
of former versions hold."""

import hashlib
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import pytest
import torch
from torch import Tensor

from noiseproof.core import inputs as core
from noiseproof.core.inputs import Inputs
from noiseproof.core.rng import stream
from noiseproof.data import Boxes, Dataset, Split, open_dataset, scaled
from noiseproof.data.augmentation import augmented_scenes
from noiseproof.specs.catalog import PixelScale

WIDE = torch.randn(6, 3, generator=stream(0, "wide"))
TOKENS = torch.randint(0, 9, (6, 4), generator=stream(0, "tokens"))
LABELS = torch.arange(6) % 2
KINDS: dict[str, Inputs] = {
    "tensor": WIDE,
    "tuple": (WIDE, TOKENS),
    "dict": {"x": WIDE, "ids": TOKENS},
}


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize(
    ("cut", "places"),
    [
        (lambda split: split.part(1, 3), [1, 2]),
        (lambda split: split.first(2), [0, 1]),
        (lambda split: split.take(torch.tensor([4, 0, 4])), [4, 0, 4]),
    ],
)
def test_every_tensor_is_cut_with_the_labels(
    kind: str, cut: Callable[[Split], Split], places: list[int]
) -> None:
    split = Split(inputs=KINDS[kind], labels=LABELS)
    got = cut(split)
    assert type(got.inputs) is type(split.inputs)
    assert len(got) == len(places)
    whole, part = (core.named_tensors(one.inputs, "") for one in (split, got))
    assert list(whole) == list(part)
    for name, tensor in whole.items():
        assert torch.equal(part[name], tensor[places])
    assert torch.equal(torch.as_tensor(got.labels), LABELS[places])


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_sample_is_the_inputs_of_the_drawn_places(kind: str) -> None:
    split = Split(inputs=KINDS[kind], labels=LABELS)
    places = split.drawn(4, seed=3)
    drawn = core.tensors(split.sample(4, seed=3))
    for tensor, whole in zip(drawn, core.tensors(split.inputs), strict=True):
        assert torch.equal(tensor, whole[places])


def test_the_fingerprint_of_a_single_tensor_is_that_of_former_versions() -> None:
    """Committed rows hold it: the repr of shape and type, then the bytes of inputs and labels."""
    literal = hashlib.sha256(b"((6, 3), torch.float32)")
    literal.update(WIDE.numpy().tobytes())
    literal.update(LABELS.numpy().tobytes())
    assert Split(inputs=WIDE, labels=LABELS).sha256() == literal.hexdigest()


def test_the_fingerprint_sees_every_tensor_its_name_and_its_type() -> None:
    changed = TOKENS.clone()
    changed[5, 3] += 1
    others: list[Inputs] = [
        *KINDS.values(),
        (WIDE,),
        (TOKENS, WIDE),
        (WIDE, changed),
        (WIDE, TOKENS.double()),
        (WIDE, TOKENS.view(6, 2, 2)),
        {"y": WIDE, "ids": TOKENS},
        {"x": WIDE, "ids": changed},
    ]
    found = {Split(inputs=one, labels=LABELS).sha256() for one in others}
    assert len(found) == len(others)


def test_the_order_of_named_inputs_is_no_difference() -> None:
    one, other = {"x": WIDE, "ids": TOKENS}, {"ids": TOKENS, "x": WIDE}
    first, second = (Split(inputs=named, labels=LABELS) for named in (one, other))
    assert first.sha256() == second.sha256()


def test_lists_and_mappings_become_tuples_and_dicts_of_the_same_tensors() -> None:
    listed = Split(inputs=[WIDE, TOKENS], labels=LABELS)  # type: ignore[arg-type]
    assert isinstance(listed.inputs, tuple)
    assert listed.inputs[1] is TOKENS
    named = Split(inputs=MappingProxyType({"x": WIDE}), labels=LABELS)  # type: ignore[arg-type]
    assert isinstance(named.inputs, dict)
    assert named.inputs["x"] is WIDE


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        ("images", "inputs must be a tensor, or a tuple or dict of tensors, got str"),
        (None, "inputs must be a tensor, or a tuple or dict of tensors, got NoneType"),
        ({1: WIDE}, "inputs must be a tensor, or a tuple or dict of tensors, got dict"),
        ((), "inputs must be tensors, got none"),
        ({}, "inputs must be tensors, got none"),
        ((WIDE, [1, 2]), "inputs must be tensors, got list"),
        ({"x": WIDE, "mask": None}, "inputs must be tensors, got NoneType"),
        (
            (WIDE, torch.tensor(1.0)),
            r"must have the sample on axis 0, got \(6, 3\) and \(\)",
        ),
        ({"x": WIDE, "y": WIDE[:5]}, r"equally many, got tensors x \(6, 3\), y \(5, 3\)"),
        ((WIDE[:5], WIDE[:5]), "inputs and labels must be equally many, got 5 and 6"),
    ],
)
def test_wrong_inputs_are_one_sentence(inputs: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Split(inputs=inputs, labels=LABELS)


def test_pixels_among_several_tensors_are_scaled_and_nothing_else() -> None:
    pixels = torch.full((2, 1, 2, 2), 51, dtype=torch.uint8)
    ids = torch.tensor([[1, 2], [3, 4]])
    scale = PixelScale(mean=(0.1,), std=(0.5,))
    got = scaled({"pixels": pixels, "ids": ids, "wide": WIDE[:2]}, scale)
    assert torch.allclose(got["pixels"], torch.full((2, 1, 2, 2), 0.2))
    assert got["ids"] is ids
    assert torch.equal(got["wide"], WIDE[:2])
    with pytest.raises(ValueError, match=r"images of pixels must be \(N, C, H, W\), got \(6, 3\)"):
        scaled((WIDE, WIDE.to(torch.uint8)), scale)


def test_masks_and_boxes_may_belong_to_several_tensors() -> None:
    pair = (torch.zeros(2, 3, 8, 8), torch.zeros(2, 5))
    masks = torch.zeros(2, 16, 16, dtype=torch.uint8)
    box = Boxes(corners=torch.tensor([[0, 0, 50, 50.0]]), classes=torch.tensor([1]))
    assert Split(inputs=pair, labels=masks).task == "segment"
    detect = Split(inputs=pair, labels=(box, box))
    assert detect.task == "detect"
    with pytest.raises(ValueError, match=r"scenes that are augmented must be .*and \(2, 5\)"):
        augmented_scenes(detect, scales=(0.75, 1.5))


def test_a_data_set_of_ones_own_may_hold_several_tensors(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pairs_of_tensors.py").write_text(
        "import torch\n"
        "from noiseproof.data import Dataset, Split\n"
        "def load():\n"
        "    x = (torch.zeros(4, 7), torch.zeros(4, 2))\n"
        "    return Dataset(test=Split(inputs=x, labels=torch.arange(4)), classes=4)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    source = open_dataset("pairs_of_tensors:load")
    assert (source.channels, source.task) == (1, "classify")
    assert core.count(source.read("test").inputs) == 4


# --- the functions that everybody uses ---


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("size", [1, 4, 6, 9])
def test_parts_joined_again_are_the_whole(kind: str, size: int) -> None:
    whole = KINDS[kind]
    cut = core.parts(whole, size)
    assert [core.count(part) for part in cut] == [len(x) for x in WIDE.split(size)]
    again = core.joined(cut)
    assert type(again) is type(whole)
    assert core.named_tensors(again, "").keys() == core.named_tensors(whole, "").keys()
    for one, two in zip(core.tensors(again), core.tensors(whole), strict=True):
        assert torch.equal(one, two)


def test_a_tuple_is_positional_and_a_dict_is_by_name() -> None:
    def said(*args: Tensor, **kwargs: Tensor) -> tuple[list[Tensor], dict[str, Tensor]]:
        return list(args), kwargs

    for inputs, wanted in (
        (WIDE, ([WIDE], {})),
        ((WIDE, TOKENS), ([WIDE, TOKENS], {})),
        ({"ids": TOKENS}, ([], {"ids": TOKENS})),
    ):
        args, kwargs = core.as_call(inputs)
        assert said(*args, **kwargs) == wanted  # the very tensors: == of lists sees identity first
        assert core.count_of_call(args, kwargs) == 6


def test_shapes_are_said_as_a_reader_names_them() -> None:
    assert core.shapes(WIDE) == "(6, 3)"
    assert core.shapes((WIDE, TOKENS)) == "(6, 3) and (6, 4)"
    assert core.shapes({"x": WIDE, "ids": TOKENS}) == "x (6, 3), ids (6, 4)"


def test_a_data_set_checks_its_tasks_whatever_the_inputs() -> None:
    split = Split(inputs=KINDS["dict"], labels=LABELS)
    assert Dataset(test=split, train=split).test is split
