"""What a killed training finds when it goes on: its own half, or another run that is refused."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from noiseproof.data import Source
from noiseproof.models import Card, read_card
from noiseproof.specs import Plan, Recipe

WEIGHTS = "weights.safetensors"
RESUME = "resume.pt"


def identity_of(plan: Plan, source: Source) -> dict[str, Any]:
    """What must agree between a run and the folder that it goes on in."""
    flat = {key: value for key, value in asdict(plan).items() if key != "recipe"}
    return {**flat, **asdict(plan.recipe), "data": source.name}


def epochs_done(folder: Path) -> int:
    """How many epochs a training in this folder has behind it, finished ones left out."""
    file = folder / RESUME
    if not file.is_file():
        return 0
    return int(read_resume(file)["epoch"])


def read_resume(path: Path) -> dict[str, Any]:
    try:
        # weights_only: nothing in the file is run. On the CPU: the run may go on on another device.
        content = torch.load(path, map_location="cpu", weights_only=True)
    # Whatever a damaged file does to the reader.
    except Exception as error:
        raise ValueError(f"cannot resume from {path}: delete it to start over") from error
    if not isinstance(content, dict) or content.keys() - {"threads"} != CONTENT:
        raise ValueError(f"cannot resume from {path}: delete it to start over")
    return content


def check_same(found: dict[str, Any], wanted: dict[str, Any], folder: Path) -> None:
    found = {**asdict(Recipe()), **found}  # what an older run does not say was as is usual now
    differing = [key for key in wanted if found.get(key) != wanted[key]]
    if differing:
        listed = ", ".join(
            f"{key} {found.get(key)} there, {wanted[key]} asked" for key in differing
        )
        raise ValueError(f"{folder} holds another run ({listed}): choose another --out")


def finished(folder: Path, plan: Plan, source: Source) -> Card | None:
    """The card of a run that has already ended in this folder.

    Raises:
        ValueError: where it was another run.
    """
    weights = folder / WEIGHTS
    if not weights.is_file():
        return None
    # None too where the weights are not those that it was written for.
    card = read_card(weights)
    if card is None:
        return None
    found = {**card.model_dump(include={"model", "norm", "norm_where", "seed", "data"})}
    check_same({**found, **card.recipe}, identity_of(plan, source), weights.parent)
    return card


# Beside `threads`, which files before 0.2 do not have.
CONTENT = {"identity", "epoch", "seconds", "model", "optimizer", "schedule"}
