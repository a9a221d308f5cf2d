"""A study: a claim, the grid of networks and noises that tests it, and what came of it.

study file -> grid -> (rows, facts) -> measured -> verdict -> page; only `study.run` needs torch
"""

from typing import TYPE_CHECKING

from noiseproof.core.lazy import face

if TYPE_CHECKING:
    from noiseproof.study.file import Study as Study
    from noiseproof.study.file import read_study as read_study
    from noiseproof.study.folder import STORE as STORE
    from noiseproof.study.folder import open_study as open_study
    from noiseproof.study.folder import out_folder as out_folder
    from noiseproof.study.folder import results_of as results_of
    from noiseproof.study.grid import grid_of as grid_of
    from noiseproof.study.power import ComparisonPower as ComparisonPower
    from noiseproof.study.power import powers_of as powers_of
    from noiseproof.study.profiles import Profile as Profile
    from noiseproof.study.profiles import other_profiles as other_profiles
    from noiseproof.study.profiles import profiles_of as profiles_of
    from noiseproof.study.progress import NetworkProgress as NetworkProgress
    from noiseproof.study.progress import progress_of as progress_of
    from noiseproof.study.run.driver import News as News
    from noiseproof.study.run.estimate import Line as Line
    from noiseproof.study.run.estimate import estimate as estimate
    from noiseproof.study.run.run import open_run as open_run
    from noiseproof.study.run.run import run_study as run_study
    from noiseproof.study.wanted import Grid as Grid

__getattr__, __dir__ = face(
    __name__,
    {
        "ComparisonPower": "study.power",
        "Grid": "study.wanted",
        "Line": "study.run.estimate",
        "NetworkProgress": "study.progress",
        "News": "study.run.driver",
        "Profile": "study.profiles",
        "STORE": "study.folder",
        "Study": "study.file",
        "estimate": "study.run.estimate",
        "grid_of": "study.grid",
        "open_run": "study.run.run",
        "open_study": "study.folder",
        "other_profiles": "study.profiles",
        "out_folder": "study.folder",
        "powers_of": "study.power",
        "profiles_of": "study.profiles",
        "progress_of": "study.progress",
        "read_study": "study.file",
        "results_of": "study.folder",
        "run_study": "study.run.run",
    },
)
