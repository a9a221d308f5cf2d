"""The whole instrument on handwritten digits: four networks that differ only in normalisation."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from noiseproof.cli.console import chip_text
from noiseproof.data.datasets import open_dataset
from noiseproof.measuring.curves import measure
from noiseproof.measuring.setup import open_setup
from noiseproof.report import write_report
from noiseproof.results.curves import Curve
from noiseproof.results.rows import Row
from noiseproof.results.store import Store
from noiseproof.specs.estimators import Pooled
from noiseproof.specs.noise import parse
from noiseproof.specs.recipes import Plan, Recipe
from noiseproof.training import loop

TITLE = "ResNet-8 on scikit-learn's handwritten digits, 500 test images"
NORMS = ("none", "batch", "batch_l1", "batch_topk")
NOISE = parse("gaussian(0.1, reference=std)")
LEVELS = (0.1, 0.3, 0.5, 0.7, 1.0, 1.5, 2.5)
RECALIBRATE = Pooled(images=500)
Report = Callable[[str, int, int, str], None]  # (step, done, total, text)


@dataclass(frozen=True, kw_only=True)
class Demo:
    """What the demo leaves behind."""

    curves: list[Curve]
    store: Path
    report: Path


def demo(
    out: str | Path,
    *,
    chips: int = 20,
    epochs: int = 20,
    seed: int = 0,
    device: str = "cpu",
    progress: Report,
) -> Demo:
    """Train, measure, recalibrate and report into the folder `out`; called again, it goes on."""
    folder = Path(out)
    for norm in NORMS:
        _train(folder / norm, norm, epochs, seed, device, progress)
    curves = []
    with Store(folder / "results.db") as store:
        for norm in NORMS:
            for recalibrate in (None, RECALIBRATE) if norm != "none" else (None,):
                curves.append(
                    _measure(folder / norm, norm, recalibrate, chips, seed, device, store, progress)
                )
    report = folder / "report.html"
    write_report(curves, report, source="results.db")
    return Demo(curves=curves, store=folder / "results.db", report=report)


def _train(out: Path, norm: str, epochs: int, seed: int, device: str, progress: Report) -> None:
    step = f"train {norm}"

    def show(state: loop.Progress) -> None:
        done = (state.epoch - 1) * state.steps + state.step
        text = f"loss {state.loss:.3f}  accuracy {100 * state.accuracy:.1f} %"
        progress(step, done, state.epochs * state.steps + 1, text)

    plan = Plan(
        model="resnet8",
        norm=norm,
        norm_where="all",
        recipe=Recipe(epochs=epochs, batch_size=32),
        seed=seed,
    )
    card = loop.train(plan, open_dataset("digits"), out, device=device, on_progress=show)
    progress(step, 1, 1, f"clean accuracy {100 * card.clean_scores['accuracy']:.1f} %")


def _measure(
    weights: Path,
    norm: str,
    recalibrate: Pooled | None,
    chips: int,
    seed: int,
    device: str,
    store: Store,
    progress: Report,
) -> Curve:
    step = f"measure {norm}{', recalibrated' if recalibrate else ''}"

    def show(row: Row, done: int, total: int) -> None:
        progress(step, done, total + 1, chip_text(row))

    setup = open_setup(
        weights, calibration=recalibrate.images if recalibrate else 0, calibration_seed=seed
    )
    curve = measure(
        setup.model,
        setup.test,
        NOISE.at(LEVELS),
        chips=chips,
        seed=seed,
        calibration=setup.calibration,
        scale=setup.scale,
        batch_size=len(setup.test),
        device=device,
        store=store,
        subject=setup.subject,
        on_row=show,
    )
    progress(step, 1, 1, f"{chips} chips at each of {len(LEVELS)} levels")
    return curve
