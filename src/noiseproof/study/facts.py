"""What a run knows of its networks, beside the rows: one JSON file."""

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from noiseproof.core.files import replacing
from noiseproof.study.keys import Value


class NetworkFacts(BaseModel):
    """One network: what comparisons select it by, and what became of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    factors: dict[str, Value]
    sha256: str = ""  # of the weights; "" where there are none
    data_sha256: str = ""  # of the test images; "" where there are no weights
    computes: str = ""  # what it does with them, as rows say it
    clean: float | None = None  # score without noise
    epochs: int = 0  # trained
    seconds: float = 0.0  # of training
    device: str = ""
    versions: str = ""
    failed: str = ""  # why there are no weights
    clean_hits: dict[str, list[int]] = {}  # design -> without noise, on the images of unit 0, 1 ...

    def with_clean(self, score: float) -> "NetworkFacts":
        """The same with its clean score."""
        return self.model_copy(update={"clean": score})


Facts = dict[str, NetworkFacts]


def read_facts(path: Path) -> Facts:
    """The facts in the file; none where there is no file.

    Raises:
        ValueError: for a file that is something else.
    """
    if not path.is_file():
        return {}
    try:
        document = json.loads(path.read_text())
        return {str(name): NetworkFacts.model_validate(one) for name, one in document.items()}
    except (ValidationError, ValueError, AttributeError, OSError):
        raise ValueError(f"{path} is no file of a study's networks: delete it") from None


def write_facts(facts: Facts, path: Path) -> None:
    """Write the file, whole or not at all."""
    document = {name: one.model_dump(exclude_defaults=True) for name, one in facts.items()}
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
