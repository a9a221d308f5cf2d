"""What Sandia's CrossSim says of weights on devices: moments of what is read back.

    PYTHONPATH=CROSSSIM ENV/bin/python benchmarks/peer_crosssim.py --out crosssim.json

CROSSSIM is a checkout of github.com/sandialabs/cross-sim (version 3.2.0 here; it is not on PyPI),
ENV has torch, scipy and what CrossSim asks for. Nothing of noiseproof is imported. A weight is a
pair of CrossSim's devices, each with its own error, without clipping at g_min (`clip_conductance`
as it comes), in float64; CrossSim itself clips at 0. Programming error is at time 0; the drift of
SONOS, which holds that error too, is at one day.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from moments import TARGETS, moments, targets
from simulator import CrossSimParameters
from simulator.backend import ComputeBackend
from simulator.devices.device import Device

# By the name of noiseproof's device: CrossSim's class, its range (S), days after programming.
DEVICES = {
    "pcm_joshi": ("PCMJoshi", 0.25e-6, 25e-6, {"programmed": 0.0}),
    "rram_milo": ("RRAMMilo", 50e-6, 225e-6, {"programmed": 0.0}),
    "reram_wan_cubic": ("RRAMWan", 0.0, 39e-6, {"programmed": 0.0}),
    "sonos": ("SONOS", 0.0, 16e-6, {"programmed": 0.0, "1 d": 1.0}),
}
STEP = 20_000


def device_of(name: str) -> tuple[Any, Any]:
    """CrossSim's device, and its parameters."""
    kind, low, high, _ = DEVICES[name]
    parameters = CrossSimParameters().xbar.device
    parameters.Rmin = 1 / high
    parameters.infinite_on_off_ratio = not low
    if low:
        parameters.Rmax = 1 / low
    for error in (parameters.programming_error, parameters.drift_error):
        error.enable = error is parameters.programming_error or name == "sonos"
        error.model = kind if error.enable else "IdealDevice"
    return Device.create_device(parameters), parameters


def read(name: str, w: Any, days: float) -> Any:
    """Weights as pairs of devices read them."""
    device, parameters = device_of(name)
    span = parameters.Grange_norm
    pair = [np.clip(one, 0, None) * span + parameters.Gmin_norm for one in (w, -w)]
    if days:
        pair = [device.drift_error(g, days) for g in pair]
    else:
        pair = [device.programming_error(g) for g in pair]
    return (pair[0] - pair[1]) / span


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--draws", type=int, default=100_000)
    options = parser.parse_args()
    ComputeBackend(use_gpu=False)
    np.random.seed(20251125)
    w = targets(STEP).double().numpy()
    found = []
    for name, (_, _, _, times) in DEVICES.items():
        for time, days in times.items():
            parts = [read(name, w, days) for _ in range(options.draws // STEP)]
            names = {"device": name, "way": "devices", "time": time, "n": len(parts) * STEP}
            found.append(names | moments(torch.from_numpy(np.concatenate(parts, 1))))
    options.out.write_text(
        json.dumps({"crosssim": "3.2.0", "targets": TARGETS.tolist(), "moments": found})
    )


if __name__ == "__main__":
    main()
