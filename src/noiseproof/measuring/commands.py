"""A request for each command, checked: what must hold between the network, the measurement and the
calibration that it is of. No torch here.
"""

import warnings
from dataclasses import dataclass, field

from noiseproof.core.checks import NoEffectWarning, at_most, one_of
from noiseproof.measuring.requests import (
    MOST_ROWS,
    TOO_MANY,
    Calibration,
    Measurement,
    Network,
)
from noiseproof.specs import (
    AS_ARRAYS,
    AS_TORCH,
    GROUPINGS,
    Course,
    PerImage,
    catalog,
    check_design,
    check_followed,
    check_ranked,
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Request:
    """What all commands are asked.

    Warns:
        NoEffectWarning: where the statistics have a form, and no noise is on them.
    """

    network: Network
    measurement: Measurement
    calibration: Calibration = field(default_factory=Calibration)

    def __post_init__(self) -> None:
        self._warn_of_idle_arrays()
        if self.network.compiled and self.network.mvm:
            warnings.warn(
                "compile changes nothing for chips with something at their products: leave it out",
                NoEffectWarning,
                stacklevel=2,
            )
        form, targets = self.network.stored.stats_as, self.measurement.targets
        if form != AS_TORCH.stats_as and "norm_stats" not in targets:
            warnings.warn(
                f"stats_as {form} changes nothing without noise on the statistics: add norm_stats "
                f"to the targets, got {','.join(targets)}",
                NoEffectWarning,
                stacklevel=2,
            )

    def _warn_of_idle_arrays(self) -> None:
        """Warn of a mapping and of a compensation that nothing comes of."""
        if any(spec.sweeps == "time" for spec in self.measurement.specs):
            return
        array, factors = self.network.stored.array, self.calibration.compensate
        for text in (
            f"the mapping {array}" if array != AS_ARRAYS and not self.network.mvm else "",
            f"compensation {','.join(factors)}" if factors != ("off",) else "",
        ):
            if text:
                warnings.warn(
                    f"{text} changes nothing without devices: give --hardware, or noise as "
                    "device(pcm, time=1d)",
                    NoEffectWarning,
                    stacklevel=3,
                )

    def _check_one_compensation(self) -> None:
        """Raise ValueError for a command that would have to measure all twice."""
        if len(self.calibration.compensate) > 1:
            raise ValueError(
                f"one compensation at a time here, got {', '.join(self.calibration.compensate)}"
            )

    def _check_design_at_products(self) -> None:
        """Raise ValueError where every image would have a chip of its own, and a product more than
        a kernel."""
        if self.network.mvm and isinstance(self.measurement.design, PerImage):
            raise ValueError(
                "per-image chips hold for exact products alone, and here every product has "
                f"{self.network.mvm}: use --design chips or nested"
            )

    @property
    def compensate(self) -> str:
        """The only compensation."""
        (only,) = self.calibration.compensate
        return only


@dataclass(frozen=True, kw_only=True, eq=False)
class MeasureRequest(Request):
    """A curve for each way to recalibrate.

    Raises:
        ValueError: for several kinds of noise or none, and for a design that holds neither for the
            noise nor for a way or a score of one's own.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        asked, own = self.measurement, self.network.own_score
        families = sorted({spec.family for spec in asked.specs})
        if len(families) != 1:
            raise ValueError(
                f"one kind of noise at a time, got {len(families)}: {', '.join(families)}"
            )
        if families == ["none"] and not self.network.mvm:
            raise ValueError("there is nothing to measure without noise: give a spec with a stage")
        self._check_design_at_products()
        if self.network.dtype and isinstance(asked.design, PerImage):
            raise ValueError(
                f"per-image chips compute in the network's own dtype, got {self.network.dtype}: "
                "use --design chips or nested"
            )
        for way in self.calibration.ways:
            if own and way is not None and way.sees_test:
                raise ValueError(f"{way} needs the test batches, which {own}")
            if self.network.dtype and way is not None and way.sees_test:
                raise ValueError(f"{way} follows the test batches in the network's own dtype alone")
            # As far as it can be known without the network: the task's
            # hits are checked when it is opened.
            check_design(asked.design, asked.specs, asked.targets, estimator=way, has_hits=not own)


@dataclass(frozen=True, kw_only=True, eq=False)
class TrackRequest(Request):
    """Chips followed along a stream.

    Raises:
        ValueError: where noise cannot change so, or nothing could follow it.
    """

    course: Course

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_one_compensation()
        asked = self.measurement
        _check_known_task(self.network)
        windows = self.course.length // self.course.step
        ways = len(self.calibration.ways)
        at_most(MOST_ROWS, TOO_MANY, windows_of_all_chips=windows * asked.followed * ways)
        check_followed(asked.spec, self.course.changes, asked.targets, self.calibration.ways)


@dataclass(frozen=True, kw_only=True, eq=False)
class RankRequest(Request):
    """Layers by what noise in one of them alone takes.

    `by`: what is ranked, a key of `selection.GROUPINGS`. `keep`: how many of the most sensitive are
    kept digital, several numbers (default: Fibonacci numbers).

    Raises:
        ValueError: for no noise, nested chips, and per-image chips where they do not hold.
    """

    by: str = "layer"
    keep: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_one_compensation()
        one_of("grouping", self.by, GROUPINGS)
        asked, own = self.measurement, self.network.own_score
        self._check_design_at_products()
        check_ranked(
            asked.spec,
            asked.targets,
            asked.design,
            has_hits=not own,
            at_products=bool(self.network.mvm),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class ExplainRequest(Request):
    """Activations on chips as they come, and after each way to recalibrate.

    Raises:
        ValueError: without noise, and for ways that follow the test batches.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_one_compensation()
        _check_known_task(self.network)
        if not self.measurement.spec.stages and not self.network.mvm:
            raise ValueError("there is nothing to explain without noise: give a spec with a stage")
        for way in self.calibration.ways:
            if way is not None and way.sees_test:
                raise ValueError(
                    f"explain compares chips that stay as they are, and {way} follows the test "
                    "batches: leave it out"
                )


def _check_known_task(network: Network) -> None:
    """Raise ValueError where a score of one's own is named and none can be used."""
    if network.task is not None:
        one_of("task", network.task, catalog.TASKS)
