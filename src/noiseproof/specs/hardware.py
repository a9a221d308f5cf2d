"""A hardware file: the name of a chip, for texts that could be given one by one. No torch here.

    about = "PCM-like devices in pairs, each output channel by its own largest weight"
    noise = "device(pcm)"
    mapping = "scale=channel, cells=pair"

It is no second language: rows hold the texts, and the name beside them. Nothing in it is run.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from noiseproof.core.checks import one_of
from noiseproof.core.documents import parse_document, read_document
from noiseproof.specs.layers import parse_digital
from noiseproof.specs.mapping import COMPENSATIONS, parse_mapping
from noiseproof.specs.mvm import parse_mvm
from noiseproof.specs.noise import parse
from noiseproof.specs.shipped import hardware_file, hardware_names

Text = Annotated[str, Field(max_length=4000)]


def _read_by(read: Callable[[str], object]) -> AfterValidator:
    """The text stays a text, and is one that `read` understands; the empty one says nothing."""

    def check(text: str) -> str:
        if text:
            read(text)
        return text

    return AfterValidator(check)


def _compensation(text: str) -> str:
    return one_of("compensation", text, COMPENSATIONS)


class Hardware(BaseModel):
    """What a hardware file says.

    - `noise`: a noise spec, once per chip; its devices' time is the first that is asked for.
    - `mapping`: how weights lie in arrays (`parse_mapping`).
    - `mvm`: what happens at every product (`parse_mvm`); the images for static ranges are asked for
      where it is used, unless the text says them.
    - `compensate`: of drift, a key of `COMPENSATIONS` (default: off).
    - `digital`: layers that are kept so (default: none).
    - `about`, `source`, `leaves_out`: in words: what it is, where its numbers are from, and what of
      the original it does not have.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: Annotated[str, Field(pattern=r"^([a-z0-9][a-z0-9._-]{0,60})?$")] = ""
    about: Text = ""
    source: Text = ""
    leaves_out: Text = ""
    noise: Annotated[Text, _read_by(parse)] = ""
    mapping: Annotated[Text, _read_by(parse_mapping)] = ""
    mvm: Annotated[Text, _read_by(parse_mvm)] = ""
    compensate: Annotated[str, _read_by(_compensation)] = "off"
    digital: Annotated[Text, _read_by(parse_digital)] = ""


def find_hardware(name: str | Path) -> Hardware:
    """The chip that comes with noiseproof under this name, or the one in a file `NAME.toml`.

    Raises:
        ValueError: in one line: an unknown name, or the first mistake of the file.
    """
    if str(name).endswith(".toml"):
        found = read_document(name, "hardware file", Hardware)
        return found if found.name else found.model_copy(update={"name": _stem(Path(name))})
    return _shipped(one_of("hardware (or file NAME.toml)", str(name), hardware_names()))


@cache
def _shipped(name: str) -> Hardware:
    file = hardware_file(name)
    found = parse_document(file.read_text("utf-8"), "hardware file", file.name, Hardware)
    return found.model_copy(update={"name": name})


def _stem(path: Path) -> str:
    """The file's name as a word, for rows."""
    kept = "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in path.stem)
    return kept.lower().lstrip("._-")[:60] or "own"
