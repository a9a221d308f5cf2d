"""The study's tables from its store, as Markdown: python studies/noise-aware-norm/tables.py STORE

One table per network and targets: a row per way to recalibrate, a column per level; each cell is
the mean over chips with its 95 % interval, and the paired difference to `off` in points.
"""

import sys
from collections.abc import Sequence

from noiseproof import stats
from noiseproof.results.curves import Curve, Point, curves_of, network_key, paired_difference
from noiseproof.results.store import Store
from noiseproof.results.streams import stream_key, traces_of, without_recalibration
from noiseproof.specs.catalog import metric_of


def main(path: str) -> None:
    with Store(path, read_only=True) as store:
        rows = store.rows()
    groups: dict[tuple[str, ...], list[Curve]] = {}
    for curve in curves_of(rows):
        groups.setdefault((*network_key(curve.clean), curve.first.targets), []).append(curve)
    for group in groups.values():
        _network(group)
    for key, off in without_recalibration(traces_of(rows)).items():
        same = [trace for trace in traces_of(rows) if stream_key(trace.first) == key]
        first = off.first
        noise = f"{first.noise} on {first.targets}"
        print(f"\n### {first.model} on {first.data}, {noise}, {first.stream}\n")
        print(
            "| recalibration | sees | mean over the stream | minus off, points |\n|---|---|---|---|"
        )
        for trace in same:
            gain = "" if trace is off else _signed(trace.difference(off))
            row = trace.first
            print(f"| {row.recalibrate} | {_sees(row.calibration)} | "
                  f"{stats.percent(trace.overall)} | {gain} |")  # fmt: skip


def _network(curves: Sequence[Curve]) -> None:
    first, clean = curves[0].first, curves[0].clean
    metric = metric_of(clean.task)
    levels = [point.level for point in curves[0].points]
    print(f"\n### {first.model} on {first.data}, noise on {first.targets}\n")
    print(
        f"{metric} in percent, {first.images} test images, clean {100 * clean.score:.2f}; "
        f"{max(point.chips for point in curves[0].points)} chips, in brackets the 95 % interval, "
        "after the semicolon the paired difference to off.\n"
    )
    heads = ["no noise" if level == 0 else f"level {level:g}" for level in levels]
    print("| recalibration | sees |", " | ".join(heads), "| extra images |")
    print("|---" * (len(heads) + 3) + "|")
    plain = next((c for c in curves if c.first.recalibrate == "off"), None)
    for curve in curves:
        row = curve.first
        cells = [_cell(point, plain) for point in curve.points]
        print(f"| {row.recalibrate} | {_sees(row.calibration)} |", " | ".join(cells),
              f"| {row.extra_images or ''} |")  # fmt: skip


def _cell(point: Point, plain: Curve | None) -> str:
    if point.level == 0:  # all chips are the same one
        return f"{100 * point.score.mean:.2f}"
    text = stats.percent(point.score)
    before = next((p for p in plain.points if p.level == point.level), None) if plain else None
    if before is None or point.rows[0].recalibrate == "off":
        return text
    return f"{text}; {_signed(paired_difference(point, before))}"


def _signed(gain: stats.Interval) -> str:
    return ("+" if gain.mean > 0 else "") + stats.percent(gain)


def _sees(calibration: str) -> str:
    return {"test": "test images", "train": "train"}.get(calibration, calibration)


if __name__ == "__main__":
    main(sys.argv[1])
