"""Rows of chips and streams, and the page of them taken apart."""

from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from noiseproof.report import write_report
from noiseproof.results.curves import Curve, curves_of
from noiseproof.results.rows import Row
from noiseproof.results.streams import traces_of
from tests.rows import NO_NOISE, of_hits

IMAGES = 20
WAY = "pooled(64)"
CHECKPOINT = "0123456789abcdef" * 4
EVIL = "<script>alert(1)</script>"
EVIL_DATA = "</script><img src=x onerror=\"document.title='owned'\">"
EVIL_NORM = '\'"><a href="https://example.com/">x</a>&amp;{{ 7*7 }}'


def made(hits: int, **changes: Any) -> Row:
    return of_hits(hits, IMAGES, **NO_NOISE | {"checkpoint": CHECKPOINT} | changes)


def measured(**changes: Any) -> list[Row]:
    """A clean network (18 of 20), and three chips at two levels, bare and recalibrated."""
    rows = [made(18, **changes)]
    for recalibrate, counts in (
        ("off", {0.5: (9, 11, 13), 1.0: (4, 5, 9)}),
        (WAY, {0.5: (15,) * 3}),
    ):
        for level, hits in counts.items():
            noise = f"gaussian({level}, reference=std, scope=tensor)"
            shared = {"noise": noise, "level": level, "targets": "kernel", "seed": 41}
            if recalibrate != "off":
                shared |= {"calibration_sha256": "e" * 64, "calibration": "train"}
                shared |= {"recalibrate": recalibrate, "extra_images": 64}
            rows += [made(h, chip=chip, **shared, **changes) for chip, h in enumerate(hits)]
    return rows


class Page(HTMLParser):
    """What a browser would see: elements with their attributes, and the text outside scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.cells: list[str] = []
        self.inside: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.inside.append(tag)
        if tag == "td":
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        while self.inside and self.inside.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "script" not in self.inside and "style" not in self.inside:
            self.words.append(data)
            if "td" in self.inside:
                self.cells[-1] += data

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def count(self) -> Counter[str]:
        return Counter(tag for tag, _ in self.elements)


def page(curves: list[Curve], path: Path, *, source: str = "results.db") -> Page:
    write_report(curves, path, source=source)
    return Page(path.read_text(encoding="utf-8"))


def followed(chips: int = 3, **changes: Any) -> list[Row]:
    """Two ways along one stream of three windows."""
    rows = []
    named = {"stream": "redraw(every=40)", "targets": "kernel", "level": 0.5}
    named |= {"noise": "gaussian(0.5, reference=std, scope=tensor)"}
    for way, hits in (("off", (12, 8, 4)), ("ema(0.1, batch=5)", (13, 12, 14))):
        more = {"calibration": "test"} if way != "off" else {}
        for chip in range(chips):
            for place, count in enumerate(hits):
                seen = {"seen": IMAGES * place, "chip": chip, "recalibrate": way}
                rows.append(made(count + chip, **{**named, **more, **seen, **changes}))
    return rows


def shown(rows: list[Row], path: Path) -> Page:
    write_report(curves_of(rows), path, source="results.db", traces=traces_of(rows))
    found = Page(path.read_text(encoding="utf-8"))
    assert "nan" not in [word.strip("[],") for word in found.text.split()]
    return found


def many_ways(**changes: Any) -> list[Row]:
    """A network with off and eight ways to recalibrate."""
    texts = [f"pooled({n})" for n in (8, 32, 200, 1000)] + ["layerwise(8)", "match(200)"]
    texts += ["ema(0.1, batch=8)", "batch(8)"]
    rows = measured(**changes)
    for place, text in enumerate(texts):
        for row in measured(**changes):
            if row.recalibrate == WAY:
                new = made(15 - place % 3, **changes)
                seen = "test" if text.startswith(("ema", "batch")) else "train"
                same = {"score": new.score, "correct": new.correct, "hits": new.hits}
                rows.append(replace(row, recalibrate=text, calibration=seen, **same))
    return [row for row in rows if row.recalibrate != WAY]
