"""The table of docs/performance.md from what `throughput.py` printed:

python benchmarks/costs_table.py

One line for each file `results/throughput_*.txt`, whose last line is JSON.
"""

import json
from pathlib import Path
from typing import Any

from noiseproof.core.files import replacing

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "performance.md"
BEGIN, END = "<!-- costs -->", "<!-- end of costs -->"
TITLES = {"resnet20": "ResNet-20", "resnet44": "ResNet-44", "vgg16": "VGG-16"}
AGAINST_CLEAN = {
    "folded": "chip / clean",
    "compiled": "compiled",
    "per-image": "every image its own chip",
    "clean-small": "clean, 50",
    "recalibrated": "recalibrated",
}
HEAD = (
    *("network", "chip / floor", *AGAINST_CLEAN.values(), "floor / clean"),
    *("clean images/s", "memory above clean, MiB", "aihwkit / chip"),
)


def documents() -> list[dict[str, Any]]:
    """The last line of each file of results, by network."""
    files = sorted((HERE / "results").glob("throughput_*.txt"))
    return [json.loads(file.read_text().splitlines()[-1]) for file in files]


def spread(values: dict[str, float]) -> str:
    """Median and range."""
    return f"{values['median']:.2f} [{values['min']:.2f}, {values['max']:.2f}]"


def name_of(document: dict[str, Any]) -> str:
    """The network, and what ran beside it."""
    title = TITLES.get(document["model"], document["model"])
    return f"{title}, aihwkit beside it" if document["aihwkit_over_folded"] else title


def row(document: dict[str, Any]) -> list[str]:
    """One line of the table. Results from before 0.2 have no range of the ratio to the floor."""
    variants, peer = document["variants"], document["aihwkit_over_folded"]
    chip = variants["folded"]
    floor = spread(chip["floor_ratio"]) if "floor_ratio" in chip else f"{chip['over_floor']:.2f}"
    slower = f"{peer[len(peer) // 2]:.1f} [{peer[0]:.1f}, {peer[-1]:.1f}]" if peer else "-"
    return [
        name_of(document),
        floor,
        *(spread(variants[name]["ratio"]) for name in AGAINST_CLEAN),
        spread(variants["floor"]["ratio"]),
        f"{variants['clean']['images_per_second']:,.0f}",
        "-" if chip["mebibytes_above_clean"] is None else f"{chip['mebibytes_above_clean']:.0f}",
        slower,
    ]


def table() -> str:
    """The table, in Markdown."""
    lines = [HEAD, ["---"] * len(HEAD), *map(row, documents())]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    with replacing(PAGE) as temporary:
        temporary.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}")


if __name__ == "__main__":
    main()
