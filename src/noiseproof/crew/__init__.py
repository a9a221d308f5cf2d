"""Runs a study: one driver that owns the store, and workers, here or on a cluster, that train and
measure the pieces it hands out."""

from noiseproof.crew.running import run_study as run_study
