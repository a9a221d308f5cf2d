"""Networks and data of many forms, each as small as it can be."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from noiseproof.core.inputs import as_call, map_tensors
from noiseproof.core.rng import seeded, stream
from noiseproof.data.splits import Boxes, Split
from noiseproof.tasks.own import Score

N = 20


def normal(*shape: int) -> Tensor:
    return torch.randn(N, *shape, generator=stream(0, "form", *shape))


def whole(below: int, *shape: int) -> Tensor:
    return torch.randint(0, below, (N, *shape), generator=stream(0, "whole", *shape))


class Segmenter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.bn, self.b = (
            nn.Conv2d(3, 6, 3, padding=1),
            nn.BatchNorm2d(6),
            nn.Conv2d(6, 4, 1),
        )

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        y = self.a(x)
        return {"out": self.b(torch.relu(self.bn(y))), "aux": y}


class Detector(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn, self.head = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 6)

    def forward(self, x: Tensor) -> list[dict[str, Tensor]]:
        y = self.head(torch.relu(self.bn(self.conv(x))).mean((2, 3)))
        corner = y[:, :2].sigmoid() * 4
        boxes = torch.cat([corner, corner + 2 + y[:, 2:4].sigmoid()], dim=1)
        return [
            {"boxes": box[None], "labels": (z[4:5] > 0).long() + 1, "scores": z[5:6].sigmoid()}
            for box, z in zip(boxes, y, strict=True)
        ]


class Sequences(nn.Module):
    """1-d convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.bn, self.b = nn.Conv1d(2, 5, 3), nn.BatchNorm1d(5), nn.Conv1d(5, 5, 3)
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.b(torch.relu(self.bn(self.a(x)))))
        out: Tensor = self.head(y.amax(-1) * 5)
        return out


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.front = nn.Linear(4, 5)
        self.lstm = nn.LSTM(5, 6, num_layers=2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.lstm(self.front(x) * 2)[0][:, -1] * 3)
        return out


@dataclass
class Said:
    logits: Tensor
    hidden: Tensor


class Encoder(nn.Module):
    """A transformer that is told which tokens are padding, and returns an object."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(20, 8)
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.body = nn.TransformerEncoder(layer, 2)
        self.head = nn.Linear(8, 3)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Said:
        y = self.body(self.tokens(input_ids), src_key_padding_mask=attention_mask == 0)
        # Padding has its part in the mean, so that it matters what the encoder leaves there.
        return Said(logits=self.head(y.mean(1)), hidden=y)


class Auto(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Sequential(nn.Linear(6, 4), nn.Tanh()), nn.Linear(4, 6)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.decoder(self.encoder(x))
        return out


class Heads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.one, self.two = nn.Linear(6, 8), nn.Linear(8, 3), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        y = torch.relu(self.body(x))
        return {"side": self.two(y), "logits": self.one(y)}


class Twice(nn.Module):
    """One layer in two places, and layers that are never called."""

    def __init__(self) -> None:
        super().__init__()
        self.shared, self.bn, self.head = nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Linear(6, 3)
        self.never, self.never_bn = nn.Linear(6, 6), nn.BatchNorm1d(6)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(torch.tanh(self.shared(torch.relu(self.bn(self.shared(x))))))
        return out


class Branching(nn.Module):
    """The inputs decide in which order layers are called."""

    def __init__(self) -> None:
        super().__init__()
        self.front, self.a, self.b, self.head = (nn.Linear(6, n) for n in (6, 6, 6, 3))

    def forward(self, x: Tensor) -> Tensor:
        x = self.front(x)
        first, second = (self.a, self.b) if float(x.sum()) > 0 else (self.b, self.a)
        out: Tensor = self.head(second(torch.relu(first(x))))
        return out


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.gru = nn.Embedding(12, 8), nn.GRU(8, 8, batch_first=True)
        self.head = nn.Linear(8, 12)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.gru(self.tokens(x))[0])
        return out


class Writing(nn.Module):
    """It writes into what it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        x.mul_(1.5).add_(y)
        out: Tensor = self.b(torch.tanh_(self.a(x)))
        return out


class Borrowing(nn.Module):
    """The last layer's weight is used before that layer is called."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.last = (nn.Linear(6, 6) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        y = torch.tanh(nn.functional.linear(self.a(x), self.last.weight))
        out: Tensor = self.last(torch.tanh(self.b(y)))
        return out


def off(model: nn.Module, test: Split) -> float:
    """The mean squared error of a reconstruction."""
    with torch.no_grad():
        return float((model(test.inputs) - test.inputs).square().mean())


@dataclass(frozen=True)
class Form:
    """`labels`: from the network's outputs and the inputs."""

    make: Callable[[], nn.Module]
    inputs: Any
    labels: Callable[[Any, Any], Any] = field(default=lambda said, x: said.argmax(1))
    score: Score | None = None

    def ready(self) -> tuple[nn.Module, Split]:
        """A network in evaluation mode, and data on which it is right but for one sample in
        four, or a little off."""
        with seeded(0, "form"):
            net = self.make().eval()
        with torch.no_grad():
            args, kwargs = as_call(map_tensors(self.inputs, Tensor.clone))
            said = net(*args, **kwargs)
        x = map_tensors(self.inputs, Tensor.clone)
        return net, Split(inputs=x, labels=self.labels(said, x))


LONG = torch.arange(7)[None] < torch.arange(N)[:, None] % 5 + 3
FORMS = {
    "segmentation": Form(
        Segmenter, normal(3, 8, 8), lambda said, x: said["out"].argmax(1).to(torch.uint8)
    ),
    "detection": Form(
        Detector,
        normal(3, 8, 8),
        lambda said, x: [Boxes(corners=one["boxes"], classes=one["labels"]) for one in said],
    ),
    "1-d convolution": Form(Sequences, normal(2, 12)),
    "recurrent": Form(Recurrent, normal(5, 4)),
    "transformer, dict in, object out": Form(
        Encoder,
        {"input_ids": whole(20, 7), "attention_mask": LONG.long()},
        lambda said, x: said.logits.argmax(1),
    ),
    "autoencoder, score of one's own": Form(
        Auto, normal(6), lambda said, x: torch.zeros(N).long(), Score(off, better="lower")
    ),
    "regression": Form(Auto, normal(6), lambda said, x: said + 0.3 * x),
    "several heads": Form(Heads, normal(6), lambda said, x: said["logits"].argmax(1)),
    "a layer twice, others never": Form(Twice, normal(6)),
    "one layer": Form(lambda: nn.Linear(6, 3), normal(6)),
    "branching": Form(Branching, normal(6)),
    "writing into two inputs": Form(Writing, (normal(6), normal(1))),
    "a weight in another place": Form(Borrowing, normal(6)),
    "tokens": Form(Tokens, whole(12, 6), lambda said, x: said.argmax(-1)),
}
