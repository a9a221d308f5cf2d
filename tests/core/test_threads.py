"""How many threads `auto` is: decided from facts that the tests make up, on no busy machine."""

import os

import pytest
import torch

from noiseproof.core.device import using_threads
from noiseproof.core.threads import (
    Machine,
    busy_between,
    check_threads,
    free_threads,
    parse_threads,
    quota_in,
    this_machine,
)


@pytest.mark.parametrize(
    ("cores", "busy", "expected"),
    [
        (2, 0, 2),
        (2, 1, 1),
        (2, 2, 1),  # at least one
        (2, 3.7, 1),
        (16, 1, 15),
        (16, 0.3, 16),  # a little work takes no core
        (16, 0.6, 15),
        (1.5, 0, 2),  # a container's quota
        (0.5, 0, 1),
    ],
)
def test_auto_is_the_number_of_free_cores(cores: float, busy: float, expected: int) -> None:
    assert free_threads(Machine(cores=cores, busy=busy), {}, most=64) == expected


def test_auto_is_never_more_than_torch_would_take() -> None:
    assert free_threads(Machine(cores=16, busy=0), {}, most=4) == 4


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "MKL_NUM_THREADS"])
def test_what_the_environment_says_is_left_alone(name: str) -> None:
    """Torch has read it already: `most` is its number."""
    busy = Machine(cores=8, busy=8)
    assert free_threads(busy, {name: "8"}, most=8) == 8
    assert free_threads(busy, {name: " "}, most=8) == 1, "set to nothing is not set"


def stat(*cores: tuple[int, ...]) -> str:
    """A /proc/stat of cores with their ticks: user, nice, system, idle."""
    lines = [f"cpu{i} {' '.join(map(str, ticks))} 0 0 0 0 0 0" for i, ticks in enumerate(cores)]
    return "\n".join(["cpu  1 2 3 4 0 0 0 0 0 0", *lines, "intr 5"])


def test_the_load_is_that_of_the_cores_that_the_process_may_use() -> None:
    before = stat((100, 0, 0, 100), (100, 0, 0, 100), (0, 0, 0, 0))
    after = stat((120, 0, 0, 100), (105, 0, 5, 110), (0, 0, 0, 20))  # busy, half, idle
    assert busy_between(before, after, {0, 1, 2}, low_counts=False) == pytest.approx(1.5)
    assert busy_between(before, after, {1, 2}, low_counts=False) == pytest.approx(0.5)
    assert busy_between(before, before, {0, 1}, low_counts=False) == 0


def test_work_of_low_priority_gives_way_unless_this_process_does_too() -> None:
    before, after = stat((0, 0, 0, 0)), stat((0, 20, 0, 0))
    assert busy_between(before, after, {0}, low_counts=False) == 0
    assert busy_between(before, after, {0}, low_counts=True) == 1


@pytest.mark.parametrize(
    ("text", "cores"),
    [
        ("max 100000", None),
        ("200000 100000", 2),
        ("50000 100000", 0.5),
        ("-1 100000", None),
        ("", None),
        (" ", None),
        ("100000 0", None),
    ],
)
def test_a_quota_is_time_over_period(text: str, cores: float | None) -> None:
    assert quota_in(text) == cores


def test_this_machine_has_cores_and_a_load_of_at_most_all_of_them() -> None:
    machine = this_machine()
    assert 0 < machine.cores <= (os.cpu_count() or 1)
    assert machine.busy >= 0


@pytest.mark.parametrize("text", ["0", "-1", "many", "", "1.5", "999999999999"])
def test_other_texts_are_refused_in_one_line(text: str) -> None:
    with pytest.raises(ValueError, match=r"threads must be auto or a whole number >= 1, got '?"):
        parse_threads(text)


def test_a_text_is_a_number_or_auto() -> None:
    assert (parse_threads("auto"), parse_threads("3")) == ("auto", 3)


@pytest.mark.parametrize("wrong", [0, -2, True, 1.5, None])
def test_other_values_are_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match="threads must be auto or a whole number"):
        check_threads(wrong)  # type: ignore[arg-type]


def test_threads_are_used_within_and_given_back() -> None:
    before = torch.get_num_threads()
    with using_threads(before + 1):
        assert torch.get_num_threads() == before + 1
        with using_threads(None):
            assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    with pytest.raises(KeyError), using_threads(before + 2):
        raise KeyError
    assert torch.get_num_threads() == before, "after an error too"
    with using_threads("auto"):
        assert torch.get_num_threads() <= before
