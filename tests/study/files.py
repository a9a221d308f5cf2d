"""Study files as text, and the sentence that refuses one."""

from pathlib import Path

import pytest

from noiseproof.study import Study, read_study

PARTS = {
    "name": 'name = "toy"',
    "title": 'title = "Toy"',
    "data": 'data = "digits"',
    "top": "",
    "claim": '[claim]\ntext = "It holds."\nsource = "A paper"',
    "comparison": '[[comparisons]]\nquestion = "q"\n'
    'order = [{ norm = "none" }, { norm = "batch" }]\nby = ["model", "targets", "recalibrate"]',
    "profile": '[profiles.quick]\nabout = "seconds"',
    "first": '[[profiles.quick.trainings]]\nmodel = "resnet8"\nnorm = ["batch", "none"]',
    "training": '[[profiles.quick.trainings]]\nmodel = "vgg11"',
    "ready": "",
    "measurement": "[[profiles.quick.measurements]]\nlevels = [0.1, 0.3]",
}
HEADS = {
    "training": '[[profiles.quick.trainings]]\nmodel = "vgg11"\n',
    "measurement": "[[profiles.quick.measurements]]\nlevels = [0.1, 0.3]\n",
    "ready": '[[profiles.quick.ready]]\nname = "a"\nweights = "w.pt"\nmodel = "resnet8"\n',
    "comparison": '[[comparisons]]\nquestion = "q"\n'
    'order = [{ norm = "none" }, { norm = "batch" }]\n',
    "claim": '[claim]\ntext = "It holds."\nsource = "A paper"\n',
    "profile": '[profiles.quick]\nabout = "seconds"\n',
}


def text(**parts: str) -> str:
    """A small study, some of its parts written otherwise."""
    assert parts.keys() <= PARTS.keys()
    return "\n".join((PARTS | parts).values()) + "\n"


def added(part: str, lines: str) -> str:
    """A small study with more lines in one of its tables."""
    return text(**{part: HEADS[part] + lines})


def written(tmp_path: Path, content: str) -> Path:
    file = tmp_path / "study.toml"
    file.write_text(content, encoding="utf-8")
    return file


def refusal(file: Path) -> str:
    """The sentence that a study is refused with, which is one line and names the file."""
    with pytest.raises(ValueError) as caught:
        read_study(file)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert str(file) in sentence, sentence
    return sentence


def outcome(file: Path) -> tuple[Study | None, str]:
    """The study, or the sentence that it is refused with."""
    try:
        return read_study(file), ""
    except ValueError as error:
        return None, str(error)


R, C = "profiles.quick.ready[0]", "comparisons[0]"


def levels(value: str) -> str:
    return text(measurement=f"[[profiles.quick.measurements]]\nlevels = {value}")


def order(value: str) -> str:
    by = 'by = ["model", "targets"]'
    return text(comparison=f'[[comparisons]]\nquestion = "q"\norder = {value}\n{by}')


PLACES = [
    *(("measurement", key) for key in ("noise", "levels", "targets", "design", "only", "chips")),
    *(("measurement", key) for key in ("recalibrate", "precision", "passes", "kind", "scope")),
    *(("training", key) for key in ("norm", "norm_where", "lr", "seed", "half", "bf16")),
    *(("comparison", key) for key in ("by", "score", "margin", "unit", "peak", "order")),
    *(("comparison", key) for key in ("hull", "nonfinite")),
    *(("ready", key) for key in ("norm", "normalize", "seed")),
    *(("profile", key) for key in ("images", "comparisons")),
    ("claim", "published"),
]
