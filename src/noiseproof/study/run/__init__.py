"""Runs a study: one driver that owns the store, and workers, here or on a cluster, that train and
measure the pieces it hands out."""

from typing import TYPE_CHECKING

from noiseproof.core.lazy import face

if TYPE_CHECKING:
    from noiseproof.study.run.run import run_study as run_study

__getattr__, __dir__ = face(
    __name__,
    {
        "run_study": "study.run.run",
    },
)
