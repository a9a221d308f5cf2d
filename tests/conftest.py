"""What every test rests on is the same on every machine: one thread in each process (small tensors
on busy cores only wait for each other, and rows name the number of threads), and examples of
properties that are the same in every run, however long they take."""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import torch
from hypothesis import HealthCheck, settings

torch.set_num_threads(1)
settings.register_profile(
    "no clock, no dice",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],  # of a machine, that is
)
settings.load_profile("no clock, no dice")
