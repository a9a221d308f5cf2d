"""A study: a claim, the grid of networks and noises that tests it, and what came of it.

study file -> grid -> (rows, facts) -> measured -> verdict -> page; only `study.run` needs torch
"""

from typing import TYPE_CHECKING

from noiseproof.core.lazy import face

if TYPE_CHECKING:
    from noiseproof.study.file import Study as Study
    from noiseproof.study.file import read_study as read_study
    from noiseproof.study.grid import grid_of as grid_of
    from noiseproof.study.run.run import run_study as run_study
    from noiseproof.study.wanted import Grid as Grid

__getattr__, __dir__ = face(
    __name__,
    {
        "Grid": "study.wanted",
        "Study": "study.file",
        "grid_of": "study.grid",
        "read_study": "study.file",
        "run_study": "study.run.run",
    },
)
