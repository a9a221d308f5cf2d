"""Statistics that follow the test batches: each batch's own, or a moving average of them.

Both see the test images (never a label), so what they give back depends on how large the test
batches are, and a moving average on their order too (Nado et al. 2020; Schneider et al. 2020).
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from torch import Tensor, nn

from noiseproof.core.inputs import Inputs
from noiseproof.network import Chip, Moments, moments_of, outputs, scale_kind
from noiseproof.recalibration.running_stats import held, private, put_, running_layers, watching
from noiseproof.specs import Batch, Ema


@contextmanager
def following(skeleton: nn.Module, chip: Chip, estimator: Ema | Batch) -> Iterator[Chip]:
    """A live chip: inside the block every pass on it first moves its running statistics.

        with following(skeleton, chip, Ema(momentum=0.1)) as live:
            predictions = [outputs(skeleton, live, batch) for batch in batches]

    Layer by layer as a batch passes: the layer's statistics become (1 - m) old + m (the batch's
    own), for `Batch` the batch's own, then the layer normalises with them. The scale is the
    layer's own estimate, for plain batch normalisation the population variance: unlike torch's
    training mode there is no Bessel correction. A layer that runs several times in one pass moves
    each time. The size of the batches is the caller's. After the block `live` holds the last
    statistics and `skeleton` (a private copy, see `skeleton_of`) its hooks no more; `chip` keeps
    what it had.
    """
    layers = running_layers(skeleton)
    live = replace(chip, state=private(chip.state, layers))
    # Moved here and not in `live`: with a small momentum a float32 average stalls.
    running = {name: held(chip.state, name) for name in layers}  # float64, whatever `live` holds

    def see(name: str, x: Tensor) -> None:
        new = moments_of(x, kind=scale_kind(layers[name]))
        running[name] = _moved(running[name], new, estimator)
        put_(live.state, name, running[name])

    with watching(layers, see):
        yield live


def _moved(old: Moments, new: Moments, estimator: Ema | Batch) -> Moments:
    if isinstance(estimator, Batch):
        return new
    m = estimator.momentum
    return replace(new, mean=(1 - m) * old.mean + m * new.mean, var=(1 - m) * old.var + m * new.var)


def followed(
    skeleton: nn.Module,
    chip: Chip,
    batches: Iterable[Inputs],
    estimator: Ema | Batch,
) -> Chip:
    """`chip` with the running statistics after all `batches` (N, ...) have passed in order."""
    with following(skeleton, chip, estimator) as live:
        for batch in batches:
            outputs(skeleton, live, batch)
    return live
