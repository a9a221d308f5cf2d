"""What `device fit` does once its options are read."""

import hashlib
import math
import re
from pathlib import Path

from rich.table import Table

from noiseproof.cli.console import console
from noiseproof.cli.device_options import FitOutput, LawOptions
from noiseproof.cli.printing import print_json
from noiseproof.core.files import replacing
from noiseproof.hardware import Fit, Setting, device_toml, fit_device, read_readings
from noiseproof.report import draw_fit


def run_fit(path: Path, law: LawOptions, output: FitOutput) -> None:
    """Read, fit, write, print."""
    readings = read_readings(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    stem = re.sub(r"[^a-z0-9._-]+", "-", output.out.stem.lower()).strip(".-_")[:60]
    setting = Setting(
        name=law.name or stem or "own",
        source=f"{len(readings):,} readings, {path.name} (sha256 {digest}...)",
        g_min=float(readings.target.min()) if law.g_min is None else law.g_min,
        g_max=float(readings.target.max()) if law.g_max is None else law.g_max,
        t0=law.t0,
        t_read=law.t_read,
    )
    found = fit_device(readings, setting)
    # The picture first: where it fails, no file says that a fit is done.
    if output.figure is not None:
        draw_fit(found, output.figure)
    with replacing(output.out) as temporary:
        temporary.write_text(device_toml(found.device), encoding="utf-8")
    _print_fit(found, output.out)
    if output.as_json:
        print_json(_document(found, output.out))


def _print_fit(found: Fit, out: Path) -> None:
    table = Table(title=f"{found.device.name}: law of {found.law}", title_justify="left")
    for column in ("curve", f"g ({found.device.unit})", "value", "standard error"):
        table.add_column(column, justify="left" if column == "curve" else "right")
    for one in found.estimates:
        error = f"{one.error:.2g}" if math.isfinite(one.error) else "-"
        g = "" if math.isnan(one.g) else f"{one.g:.4g}"
        table.add_row(one.curve, g, f"{one.value:.4g}", error)
    console().print(table)
    for line in found.verdict or ("no part of the law is thin",):
        print(line)
    print(f"Device: {out}; use it as --noise \"device('{out}')\"")


def _document(found: Fit, out: Path) -> dict[str, object]:
    def number(value: float) -> float | None:
        return value if math.isfinite(value) else None

    return {
        "device": str(out),
        "digest": found.device.digest,
        "law": found.law,
        "estimates": [
            {
                "curve": one.curve,
                "g": number(one.g),
                "value": one.value,
                "error": number(one.error),
            }
            for one in found.estimates
        ],
        "verdict": list(found.verdict),
    }
