"""Small networks and data, and the loop that a script would write."""

import torch
from torch import nn

import noiseproof as npf
from noiseproof.core.rng import stream
from noiseproof.data.splits import Split
from noiseproof.results.rows import Row
from noiseproof.specs.noise import parse

GAUSSIAN = parse("gaussian(0.5, reference=std)")


def network() -> nn.Module:
    with npf.rng.seeded(0, "net"):
        net = nn.Sequential(
            nn.Conv2d(2, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(54, 4)
        )
        net(torch.randn(64, 2, 5, 5))  # sensible running statistics
    return net.eval()


def own_answers(n: int = 60) -> Split:
    """Images whose labels are the clean network's own answers, so that it is always right."""
    images = torch.randn(n, 2, 5, 5, generator=stream(0, "test"))
    with torch.no_grad():
        return Split(inputs=images, labels=network()(images).argmax(1))


CALIBRATION = torch.randn(40, 2, 5, 5, generator=stream(1, "calibration"))


def results(rows: list[Row]) -> set[tuple[object, ...]]:
    """All that a row says but how long it took."""
    return {(*npf.records.key_of(row), row.hits, row.correct, row.nonfinite) for row in rows}
