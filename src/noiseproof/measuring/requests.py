"""What is asked for, as frozen values that are checked when they are made: the network, how its
chips are recalibrated, what is measured. No torch here, so that a mistake is refused before
anything heavy is imported; the command line and Python build the same values.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from noiseproof.core.checks import (
    at_least,
    at_most,
    check_device,
    check_seed,
    one_of,
)
from noiseproof.core.threads import check_threads
from noiseproof.specs import (
    AS_TORCH,
    COMPENSATIONS,
    EXACT,
    Chips,
    Cropping,
    Design,
    Estimator,
    Layers,
    Mvm,
    Pace,
    Spec,
    Stored,
    catalog,
    check_above,
    check_length,
    ordered_targets,
)

if TYPE_CHECKING:
    from noiseproof.core.inputs import Inputs
    from noiseproof.tasks import ScoreFunction

MOST_CHIPS, MOST_ROWS = 100_000, 1_000_000
"""At each level, and in all: every one of them is a row, which takes about a kilobyte."""
TOO_MANY = "each is a row that is kept in memory; a precision needs fewer"
MOST_CLASSES = 1_000_000
DTYPES = ("bfloat16",)
USUAL_CHIPS = 10
"""Chips that are followed or explained, unless said otherwise."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is measured, in the words that every row carries.

    `checkpoint`: a sha256 (default: of the model's layers and tensors). `model`: its name (default:
    its class). `norm`: its normalisation. `task` and `data`: names of a score and data of one's
    own. `calibration`: where the calibration images come from.
    """

    checkpoint: str = ""
    model: str = ""
    norm: str = "own"
    task: str = "own"
    data: str = "own"
    calibration: str = "own"


@dataclass(frozen=True, kw_only=True, eq=False)
class Network:
    """What is run, on which test images, and how.

    By name, for `open_setup` and the command line:

    - `weights`: checkpoint file, or a training run's folder.
    - `model`: name of the model, or `package.module:builder` (default: the weights' card's).
    - `norm`: name of the normalisation (default: the card's, else the model's own); `norm_where`:
      the layers that get it: all (default), first:K, last:K, every:K or name:PATTERN.
    - `data`: name of the data set (default: the card's); `data_dir`: folder of data sets (default:
      $NOISEPROOF_DATA, else ~/.cache/noiseproof); `download`: fetch what is missing (default: no).
    - `cropping`: how images of class folders become squares (default: 256 and 224 pixels).
    - `labels`: a file that says which of the network's classes a class of the data is, by its name
      (default: one beside the folders, else the card's names, else as `data.naming` finds them).
    - `images`: the first N test images (default: all).
    - `classes`: what the network tells apart, where that is more than the data set has (default:
      the card's, else the data set's).
    - `task`: what the labels ask for, classify, detect or segment (default: the data set's), or the
      name of a score of one's own, `package.module:function`.

    With a model and data in memory too:

    - `scale`: by which uint8 pixels pass; floats go in as they are (default: the card's, else the
      data set's; in memory: as they are).
    - `score`: a score of one's own, `score(model, test) -> float` (default: the task's).
    - `batch_size`: inputs per forward pass (default: 50 on a CPU, else 250; masks 16, boxes 8).
    - `device`: auto, cpu, cuda or mps (default: where the model is).
    - `compiled`: by torch.compile, once for all chips (default: no).
    - `digital`: layers that are kept so, noise or not: first, last, first:K, last:K, name:PATTERN
      or kind:KIND (default: none).
    - `threads`: of the CPU: a number, or auto: as many as there are free cores (default: torch's
      own number).
    - `stored`: how it lies on the chip (default: as torch has it, nothing folded).
    - `mvm`: what happens at every product of every analog layer (default: nothing); its static
      ranges say how many calibration images decide them.
    - `dtype`: that chips compute in, bfloat16 (default: the network's own). The clean network is
      always computed in its own.
    - `subject`: what rows call it.

    Raises:
        ValueError: for names that there are not, and numbers out of range.
    """

    weights: Path | None = None
    model: str | None = None
    norm: str | None = None
    norm_where: str = "all"
    data: str | None = None
    data_dir: Path | None = None
    download: bool = False
    labels: Path | None = None
    cropping: Cropping | None = None
    images: int | None = None
    classes: int | None = None
    task: str | None = None
    scale: catalog.PixelScale | None = None
    score: "ScoreFunction | None" = None
    batch_size: int | None = None
    device: str | None = None
    compiled: bool = False
    threads: int | str | None = None
    digital: tuple[Layers, ...] = ()
    stored: Stored = AS_TORCH
    mvm: Mvm = EXACT
    dtype: str = ""
    subject: Subject | None = None

    def __post_init__(self) -> None:
        catalog.check_norm_where(self.norm, self.norm_where)
        at_least(images=self.images, classes=self.classes, batch_size=self.batch_size)
        at_most(MOST_CLASSES, "each is an output of the network", classes=self.classes)
        if self.task is not None and ":" not in self.task:
            one_of("task", self.task, catalog.TASKS)
        if self.model is not None:
            catalog.check_model(self.model)
        if self.data is not None:
            catalog.check_dataset(self.data)
        if self.device is not None:
            check_device(self.device)
        if self.threads is not None:
            check_threads(self.threads)
        self.mvm.calibrated(None)
        if self.dtype:
            one_of("dtype", self.dtype, DTYPES)
            if self.mvm or self.own_score:
                what = f"the products {self.mvm}" if self.mvm else "a score of your own"
                raise ValueError(f"dtype {self.dtype} is not for {what}: leave it out")

    @property
    def own_score(self) -> str:
        """The score of one's own in a few words; empty where the task has its own."""
        if self.task is not None and ":" in self.task:
            return f"the score {self.task} makes itself"
        return "" if self.score is None else "a score of your own makes"


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibration:
    """How chips are recalibrated, and on what.

    - `ways`: the estimators to compare, each once; None is the chip as it comes (default: only
      that).
    - `images`: the calibration images, as the test images but without labels; or how many to draw
      from the training split (default: as many as the ways ask for).
    - `source`: `folder:PATH` of images without labels, at the size of the test images (default: the
      training split).
    - `compensate`: digital factors against the drift of devices, keys of `COMPENSATIONS`, each once
      with every way (default: off).
    - `augment`: change the drawn images at random, as in training (default: no).
    - `seed`: names the draw (default: 0).
    """

    ways: tuple[Estimator | None, ...] = (None,)
    images: "Inputs | int | None" = None
    source: str | None = None
    augment: bool = False
    seed: int = 0
    compensate: tuple[str, ...] = ("off",)

    def __post_init__(self) -> None:
        found = tuple(
            dict.fromkeys(one_of("compensation", c, COMPENSATIONS) for c in self.compensate)
        )
        object.__setattr__(self, "compensate", found)
        if self.source is not None and not self.source.removeprefix("folder:"):
            raise ValueError("calibration images must come from folder:PATH, got no path")
        if self.source is not None and not self.source.startswith("folder:"):
            raise ValueError(f"calibration images must come from folder:PATH, got {self.source}")
        if self.source is not None and self.augment:
            raise ValueError(
                "images are changed at random as in training, and those of a folder are not from "
                "there: leave --augment-calibration out"
            )
        # Frozen, so that a request that was checked stays right; each way once, in the order given.
        object.__setattr__(self, "ways", tuple(dict.fromkeys(self.ways)))
        check_seed(self.seed)

    @property
    def remedies(self) -> tuple[tuple[str, Estimator | None], ...]:
        """Every compensation with every way."""
        return tuple((factor, way) for factor in self.compensate for way in self.ways)

    @property
    def needed(self) -> int:
        """The most images that any way asks for."""
        return max((way.calibration_images for way in self.ways if way is not None), default=0)


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Which noise, on how many chips, and how long.

    - `specs`: one kind of noise, at one or several levels.
    - `targets`: roles of tensors that get noise: kernel (default), bias, norm_affine, norm_stats,
      other.
    - `design`: which images see which chips: chips (default), nested, per-image or auto.
    - `chips`: how many, with a precision or a budget at most (default: 25; nested 200; 10 where
      chips are followed or explained). `passes`: of per-image chips over the test images
      (default: 1).
    - `precision`: measure each level until the 95 % interval's half-width is that, in units of the
      score (0.01: one point of accuracy). `budget`: as precise as that many seconds allow.
    - `seed`: names all random streams (default: 0).
    - `above`: also the yield, the share of chips that score at least this.

    Raises:
        ValueError: for numbers out of range, and numbers that the design does not have.
    """

    specs: tuple[Spec, ...]
    targets: tuple[str, ...] = ("kernel",)
    design: Design = field(default_factory=Chips)
    chips: int | None = None
    passes: int | None = None
    precision: float | None = None
    budget: float | None = None
    seed: int = 0
    above: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "specs", tuple(dict.fromkeys(self.specs)))
        object.__setattr__(self, "targets", ordered_targets(self.targets))
        at_least(chips=self.chips, passes=self.passes)
        at_most(MOST_CHIPS, TOO_MANY, chips=self.chips, passes=self.passes)
        units = len(self.specs) * max(self.chips or 1, self.passes or 1)
        at_most(MOST_ROWS, TOO_MANY, chips_at_all_levels=units)
        check_seed(self.seed)
        # Made for its checks alone.
        Pace(precision=self.precision, budget=self.budget)
        check_length(self.design, chips=self.chips, passes=self.passes)
        check_above(self.above, self.design)

    @property
    def spec(self) -> Spec:
        """The noise, where there is one level of it."""
        (only,) = self.specs
        return only

    @property
    def followed(self) -> int:
        """How many chips are followed or explained."""
        return USUAL_CHIPS if self.chips is None else self.chips
