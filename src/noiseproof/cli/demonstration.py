"""The whole instrument on handwritten digits: four networks that differ only in normalisation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from noiseproof.cli.bars import Bars, chip_text
from noiseproof.cli.console import print_curves
from noiseproof.cli.printing import print_json
from noiseproof.core.device import using_threads
from noiseproof.data import open_dataset
from noiseproof.measuring import (
    Calibration,
    Measurement,
    MeasureRequest,
    Network,
    measure_setup,
    opened,
)
from noiseproof.report import write_report
from noiseproof.results import Curve, Row, Store
from noiseproof.results.curves import as_json as document
from noiseproof.specs import Plan, Pooled, Recipe, parse
from noiseproof.training import Progress, loop

TITLE = "ResNet-8 on scikit-learn's handwritten digits, 500 test images"
NORMS = ("none", "batch", "batch_l1", "batch_topk")
NOISE = parse("gaussian(0.1, reference=std)")
LEVELS = (0.1, 0.3, 0.5, 0.7, 1.0, 1.5, 2.5)
RECALIBRATE = Pooled(images=500)
Report = Callable[[str, int, int, str], None]  # (step, done, total, text)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """How much of it."""

    chips: int
    epochs: int
    seed: int
    device: str
    threads: int | str


def run_demo(folder: Path, asked: Asked, *, as_json: bool) -> None:
    """Train, measure, recalibrate and report into the folder, and print; called again, it goes
    on."""
    report = folder / "report.html"
    with Bars() as bars, using_threads(asked.threads):
        curves = _measured(folder, asked, bars.update)
        write_report(curves, report, source="results.db")
    print_curves(curves, title=TITLE)
    print(f"\nReport: {report.resolve()}")
    if as_json:
        print_json(
            {
                "report": str(report),
                "store": str(folder / "results.db"),
                "networks": {norm: document(_of(curves, norm)) for norm in NORMS},
            }
        )


def _of(curves: Sequence[Curve], norm: str) -> list[Curve]:
    return [curve for curve in curves if curve.first.norm == norm]


def _measured(folder: Path, asked: Asked, progress: Report) -> list[Curve]:
    for norm in NORMS:
        _train(folder / norm, norm, asked, progress)
    curves = []
    with Store(folder / "results.db") as store:
        for norm in NORMS:
            for recalibrate in (None, RECALIBRATE) if norm != "none" else (None,):
                curves.append(_curve(folder / norm, recalibrate, asked, store, progress))
    return curves


def _train(out: Path, norm: str, asked: Asked, progress: Report) -> None:
    step = f"train {norm}"

    def show(state: Progress) -> None:
        done = (state.epoch - 1) * state.steps + state.step
        text = f"loss {state.loss:.3f}  accuracy {100 * state.accuracy:.1f} %"
        progress(step, done, state.epochs * state.steps + 1, text)

    plan = Plan(
        model="resnet8",
        norm=norm,
        norm_where="all",
        recipe=Recipe(epochs=asked.epochs, batch_size=32),
        seed=asked.seed,
    )
    card = loop.train(plan, open_dataset("digits"), out, device=asked.device, on_progress=show)
    progress(step, 1, 1, f"clean accuracy {100 * card.clean_scores['accuracy']:.1f} %")


def _curve(
    weights: Path,
    recalibrate: Pooled | None,
    asked: Asked,
    store: Store,
    progress: Report,
) -> Curve:
    step = f"measure {weights.name}{', recalibrated' if recalibrate else ''}"

    def show(row: Row, done: int, total: int) -> None:
        progress(step, done, total + 1, chip_text(row))

    network = Network(weights=weights, device=asked.device)
    calibration = Calibration(ways=(recalibrate,), seed=asked.seed)
    setup = opened(network, calibration)
    whole = replace(setup.network, batch_size=len(setup.test))
    request = MeasureRequest(
        network=whole,
        measurement=Measurement(specs=tuple(NOISE.at(LEVELS)), chips=asked.chips, seed=asked.seed),
        calibration=calibration,
    )
    (curve,) = measure_setup(replace(setup, network=whole), request, store=store, on_row=show)
    progress(step, 1, 1, f"{asked.chips} chips at each of {len(LEVELS)} levels")
    return curve
