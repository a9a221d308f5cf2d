"""How many threads the arithmetic on a CPU may use. No torch here.

Threads of one product wait for the slowest of them. On a core that another program keeps busy a
thread gets half of the time or less, and all the others spin until it is done: two threads on two
busy cores are many times slower than one. So `auto` counts the cores that are free.
"""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

AUTO = "auto"
CHOSEN_BY = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")  # what torch itself reads
MOST_THREADS = 64  # that may be asked for on any machine
LOOK_SECONDS = 0.2  # 20 ticks of the kernel's clock: a core's load to 5 %
_STAT = Path("/proc/stat")
_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What decides `auto`: the cores that this process may use (a fraction, where a container has a
    quota), and how many of them other programs keep busy."""

    cores: float
    busy: float


def parse_threads(text: str) -> int | str:
    """`auto`, or a number of threads.

    Raises:
        ValueError: for anything else.
    """
    return check_threads(int(text) if text.strip().isdecimal() and len(text) < 9 else text)


def check_threads(threads: int | str) -> int | str:
    """`threads`, if it is `auto` or a whole number that a machine may have; raises ValueError
    otherwise."""
    if threads == AUTO:
        return threads
    if isinstance(threads, bool) or not isinstance(threads, int) or not threads >= 1:
        raise ValueError(f"threads must be auto or a whole number >= 1, got {threads!r}")
    # OpenMP ends the whole process, without a word of ours, where it cannot make them.
    most = max(MOST_THREADS, os.cpu_count() or 1)
    if threads > most:
        raise ValueError(f"threads must be <= {most} here, got {threads:,}: more only wait")
    return threads


def free_threads(machine: Machine, environment: Mapping[str, str], *, most: int) -> int:
    """How many threads `auto` is: `most` (torch's own number) where the environment chose it, else
    as many as there are free cores, at least 1 and at most `most`."""
    if any(environment.get(name, "").strip() for name in CHOSEN_BY):
        return most
    free = int(machine.cores - machine.busy + 0.5)
    return max(1, min(free, most))


def this_machine() -> Machine:
    """This process's cores and their load, from a look of a fifth of a second."""
    allowed = _allowed()
    quota = _quota()
    cores = float(len(allowed)) if quota is None else min(float(len(allowed)), quota)
    # A quota says how much, not where: what others leave free of all cores bounds it only where
    # that is less.
    taken = len(allowed) - cores
    return Machine(cores=cores, busy=max(0.0, _busy(allowed) - taken))


def _allowed() -> set[int]:
    """The cores that the process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))


def _quota() -> float | None:
    """The cores' worth of time that a container gets; None where there is no limit."""
    return quota_in(_text(_CGROUP / "cpu.max")) or quota_in(
        f"{_text(_CGROUP / 'cpu/cpu.cfs_quota_us')} {_text(_CGROUP / 'cpu/cpu.cfs_period_us')}"
    )


def quota_in(text: str) -> float | None:
    """Cores from `QUOTA PERIOD`, both in microseconds; None for `max`, -1 and what is no quota."""
    words = text.split()
    if len(words) != 2 or not all(word.isdecimal() for word in words) or int(words[1]) == 0:
        return None
    return int(words[0]) / int(words[1]) or None


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _busy(cores: set[int]) -> float:
    """How many of `cores` other programs keep busy just now."""
    before = _text(_STAT)
    if not before:  # no Linux: the average of a minute, this program's own start included
        return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    time.sleep(LOOK_SECONDS)
    return busy_between(before, _text(_STAT), cores, low_counts=_is_low())


def _is_low() -> bool:
    """Does this process itself run at low priority?"""
    return hasattr(os, "getpriority") and os.getpriority(os.PRIO_PROCESS, 0) > 0


def busy_between(before: str, after: str, cores: set[int], *, low_counts: bool) -> float:
    """The load of `cores`, in cores, between two contents of /proc/stat. Work of low priority
    (nice) gives way at once, so it counts only where this process gives way itself."""
    then, now = _ticks(before), _ticks(after)
    busy = 0.0
    for core in cores & then.keys() & now.keys():
        passed = [b - a for a, b in zip(then[core], now[core], strict=True)]
        user, nice, system, idle, waiting, *others = passed
        worked = user + system + sum(others) + (nice if low_counts else 0)
        whole = user + nice + system + idle + waiting + sum(others)
        busy += worked / whole if whole > 0 else 0.0
    return busy


def _ticks(text: str) -> dict[int, list[int]]:
    """By core: user, nice, system, idle, waiting for disks, interrupts of both kinds, stolen."""
    lines = [line.split() for line in text.splitlines()]
    return {
        int(words[0][3:]): [int(word) for word in words[1:9]]
        for words in lines
        if words and words[0].startswith("cpu") and words[0][3:].isdecimal()
    }
