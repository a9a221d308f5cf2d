"""One thread in every process of the tests, whatever the environment says: small tensors on two
busy cores only wait for each other, and rows name the number of threads."""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import torch
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile("no clock", deadline=None)  # a busy machine is no mistake
settings.load_profile("no clock")
