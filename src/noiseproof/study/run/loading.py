"""What a run needs before it begins: data, places, networks with their weights."""

from dataclasses import dataclass
from pathlib import Path

from noiseproof.core.inputs import Inputs
from noiseproof.core.plugins import OPENED_BY_US
from noiseproof.data import Source, open_dataset
from noiseproof.measuring import calibration_from
from noiseproof.models import Card, file_sha256, load_state
from noiseproof.specs import parse_pixel_scale, sized
from noiseproof.study.run.pieces import Data, Trained
from noiseproof.study.wanted import Grid, Network


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where a run finds and leaves its files."""

    out: Path  # store and facts
    weights: Path  # a folder for each training
    checkpoints: Path | None = None  # where ready weights are, beside the study's own folder
    beside: Path | None = None  # the study's own folder
    data_dir: Path | None = None
    download: bool = False  # of data that are missing


def load_data(grid: Grid, source: Source) -> Data:
    """The data set in memory, its training images only where they are needed."""
    test = source.read("test")
    if grid.images is not None:
        test = test.first(grid.images)
    return Data(
        name=source.name,
        classes=source.classes,
        channels=source.channels,
        scale=source.scale,
        shift=source.shift,
        flip=source.flip,
        task=source.task,
        train=source.read("train") if _trains(grid) else None,
        test=test,
    )


def _trains(grid: Grid) -> bool:
    """Does it need training images, to train or to calibrate?"""
    return bool(grid.trainings) or any(task.calibration_images for task in grid.tasks)


def open_source(grid: Grid, places: Places, *, own_code: bool) -> Source:
    """The data set of the grid.

    Raises:
        ValueError: where the study names code of its own and that was not allowed.
    """
    for network in grid.networks:
        for name in (network.model, network.data):
            kind, _, rest = name.partition(":")
            if rest and kind not in OPENED_BY_US and not own_code:
                raise ValueError(
                    f"the study names code of its own, {name}: add --own-code to run it"
                )
    return open_dataset(grid.networks[0].data, data_dir=places.data_dir, download=places.download)


def check_sizes(grid: Grid, data: Data) -> None:
    """Raise ValueError for more images than there are."""
    for task in grid.tasks:
        if task.design.needs_hits:
            sized(task.design, len(data.test))
        images = task.calibration_images
        if not images:
            continue
        assert data.train is not None
        if images > len(data.train):
            asking = task.mvm if task.recalibrate == "off" else task.recalibrate
            raise ValueError(
                f"{asking} needs {images} calibration images, {data.name} has {len(data.train)} "
                "for training"
            )


def ready_file(network: Network, places: Places) -> Path:
    """The weights of a network that is not trained here.

    Raises:
        ValueError: where they are not found.
    """
    assert network.weights is not None
    folders = [folder for folder in (places.beside, places.checkpoints) if folder is not None]
    for folder in folders:
        if (folder / network.weights).is_file():
            return folder / network.weights
    listed = " or ".join(str(folder) for folder in folders)
    raise ValueError(
        f"weights {network.weights} of {network.name} are not in {listed}: name their folder with "
        "--checkpoints or $NOISEPROOF_CHECKPOINTS"
    )


def load_trained(
    network: Network, file: Path, card: Card | None, grid: Grid, data: Data
) -> Trained:
    """A network with its weights from `file`, and the calibration images that the grid needs.

    Raises:
        ValueError: for a file that cannot be read.
    """
    return Trained(
        network=network,
        sha256=file_sha256(file),
        classes=data.classes if card is None else card.classes,
        state=load_state(file),
        scale=data.scale if network.normalize is None else parse_pixel_scale(network.normalize),
        calibration=calibration_of(network, grid, data),
    )


def calibration_of(network: Network, grid: Grid, data: Data) -> dict[bool, Inputs]:
    """As many calibration images as any task of the network needs, plain and augmented, drawn by
    the network's seed."""
    needed: dict[bool, int] = {}
    for task in grid.tasks:
        images = task.calibration_images
        if task.network == network and images:
            needed[task.augment] = max(needed.get(task.augment, 0), images)
    return {
        augment: calibration_from(data.source, images, augment=augment, seed=network.seed)
        for augment, images in needed.items()
    }
