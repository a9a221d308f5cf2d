"""One worker in this process."""

from collections import deque
from collections.abc import Callable

import torch

from noiseproof.study.run.pieces import Data, Outcome, Piece, Trained
from noiseproof.study.run.worker import Worker
from noiseproof.training import Progress


class LocalPool:
    """Does one piece after another, with all of this machine's threads."""

    slots = 1

    def __init__(
        self,
        data: Data,
        *,
        device: str,
        on_training: Callable[[str, Progress], None] | None = None,
    ) -> None:
        self._worker = Worker(data, device=device, on_training=on_training)
        self._waiting: deque[tuple[Piece, Trained | None]] = deque()

    def submit(self, piece: Piece, trained: Trained | None) -> None:
        self._waiting.append((piece, trained))

    def wait(self) -> tuple[Piece, Outcome]:
        piece, trained = self._waiting.popleft()
        try:
            return piece, self._worker.do(piece, trained)
        except torch.AcceleratorError as error:
            line = " ".join(str(error).split())
            raise ValueError(f"the device failed ({line}): run again to go on from here") from None

    def close(self) -> None:
        self._waiting.clear()
