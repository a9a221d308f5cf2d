"""Moments of read-back weights on a grid of targets, of one tool or another; needs torch alone."""

import torch
from torch import Tensor

TARGETS = torch.linspace(-1, 1, 33)
TIMES = {"0 s": 0.0, "25 s": 25.0, "1 h": 3600.0, "1 d": 86400.0, "1 y": 365 * 86400.0}


def targets(draws: int) -> Tensor:
    """The grid, (33, draws)."""
    return TARGETS[:, None].expand(-1, draws).contiguous()


def moments(w: Tensor) -> dict[str, list[float]]:
    """Mean and standard deviation of each row of (targets, n), and the standard errors of both."""
    w = w.double()
    n, mean = w.shape[1], w.mean(1)
    centred = w - mean[:, None]
    variance = centred.square().mean(1)
    sd = variance.sqrt()
    figures = {
        "mean": mean,
        "sd": sd,
        "se_mean": sd / n**0.5,
        "se_sd": ((centred.pow(4).mean(1) - variance**2) / n).sqrt() / (2 * sd).clamp(min=1e-300),
    }
    return {key: [float(f"{x:.6g}") for x in value] for key, value in figures.items()}
