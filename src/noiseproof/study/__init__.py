"""A study: a claim, the grid of networks and noises that tests it, and what came of it. No torch.

study file -> grid -> (rows, facts) -> values -> verdict -> page
"""

from noiseproof.study.file import Study as Study
from noiseproof.study.file import read_study as read_study
from noiseproof.study.grid import Grid as Grid
from noiseproof.study.grid import grid_of as grid_of
