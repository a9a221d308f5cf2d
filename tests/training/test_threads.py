"""A training that is taken up again computes as it was begun."""

from pathlib import Path

import pytest
import torch

from noiseproof.training import loop as training
from noiseproof.training.progress import Progress
from tests.training.plans import PLAN, digits


def epoch_with(folder: Path, threads: int | str | None) -> set[int]:
    """The numbers of threads that one more epoch is computed with."""
    used: set[int] = set()

    def look(state: Progress) -> None:
        used.add(torch.get_num_threads())

    training.advance(
        PLAN, digits(), folder, epochs=1, device="cpu", threads=threads, on_progress=look
    )
    return used


@pytest.mark.parametrize(("asked", "used"), [(None, 2), ("auto", 2), (1, 1)])
def test_a_training_goes_on_with_the_threads_it_was_begun_with_unless_a_number_is_asked(
    tmp_path: Path, asked: int | str | None, used: int
) -> None:
    assert epoch_with(tmp_path, 2) == {2}
    assert torch.get_num_threads() == 1
    assert epoch_with(tmp_path, asked) == {used}


def test_a_training_begun_before_threads_were_noted_goes_on(tmp_path: Path) -> None:
    epoch_with(tmp_path, None)
    content = torch.load(tmp_path / "resume.pt", weights_only=True)
    assert content.pop("threads") == 1
    torch.save(content, tmp_path / "resume.pt")
    assert epoch_with(tmp_path, 2) == {2}
