"""One thread in every process of the tests, whatever the environment says: small tensors on busy
cores only wait for each other, and rows name the number of threads."""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import torch

torch.set_num_threads(1)
