"""Does the program still compute what it did? Write down what it does, and compare two writings.

    python benchmarks/unchanged.py record OUT.json
    python benchmarks/unchanged.py compare OLD.json NEW.json

`record` runs the command line of the package `noiseproof` that is imported (name another clone by
PYTHONPATH), calls its public functions, and writes down exit codes, terminal tables, `--json`
documents, the text and figures of every page, and every row, its hits as a sha256. `compare` ends
with 1 and a list where the new writing lacks or changes anything; new fields, columns and entries
are listed and allowed. It needs $NOISEPROOF_DATA (CIFAR-10), $NOISEPROOF_CHECKPOINTS (the public
resnet20-12fca82f.th) and $NOISEPROOF_SCENES (`camvid` and `bccd`), and takes some minutes on one
thread.

Left out, because they depend on the clock: `study plan`, `--budget`, and `nested` without a number
of images. `--compile` needs a compiler. `demo` is what `train`, `measure` and `report` do.
Floating-point results are the same bit for bit only on one kind of machine with one torch.
"""

import argparse
import base64
import csv
import difflib
import hashlib
import html
import importlib
import json
import os
import platform
import re
import runpy
import subprocess
import sys
import tempfile
import time
import traceback
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from unchanged_commands import Command, commands, write_files
from unchanged_python import quiet_results, write_pages

import noiseproof

REPOSITORY = Path(__file__).resolve().parent.parent
NEEDED = ("NOISEPROOF_DATA", "NOISEPROOF_CHECKPOINTS", "NOISEPROOF_SCENES")
PRELOADED = ("torch", "torchvision", "torchmetrics", "sklearn.datasets", "scipy.stats", "pydantic")
PRELOADED += ("matplotlib.figure", "plotly.graph_objects", "rich.console", "typer", "pyarrow")
FIXED = {"COLUMNS": "120", "TERM": "dumb", "NO_COLOR": "1", "TZ": "UTC"}
CLOCK = ("seconds", "device", "versions")  # never the same twice, or on two machines
BIG = 2000  # characters of JSON from which on an entry is compressed
SHOWN = 12  # lines of one text's difference
ROWS_SHOWN = 3  # rows of one table's

# What may differ between two runs of the same program, and what stands for it.
RULES = (
    (re.compile(r"noiseproof `?\d+\.\d+\.\d+[\w.+]*`?"), "noiseproof VERSION"),
    (re.compile(r"torch \d+\.\d+\.\d+[\w.+]*"), "torch VERSION"),
    # Plotly names each figure's place on the page at random.
    (re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "UUID"),
    # A report of a study has the minutes of each training, before the device.
    (re.compile(r"\| [\d.]+ \| cpu x"), "| MINUTES | cpu x"),
    # The module that is run may be called otherwise; it is part of every usage line.
    (re.compile(r"python -m noiseproof\.cli"), "noiseproof"),
)


def main() -> None:
    """Record, or compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("record").add_argument("out", type=Path)
    both = actions.add_parser("compare")
    both.add_argument("old", type=Path)
    both.add_argument("new", type=Path)
    options = parser.parse_args()
    if options.action == "record":
        document = record()
        lines = (f" {json.dumps(name)}: {packed(one)}" for name, one in document.items())
        options.out.write_text("{\n" + ",\n".join(lines) + "\n}\n")
        print(f"{options.out}: {len(document)} entries, {options.out.stat().st_size:,} bytes")
        return
    old, new = (unpacked(json.loads(path.read_text())) for path in (options.old, options.new))
    sys.exit(report(old, new))


# --- recording -----------------------------------------------------------------------------------


def record() -> dict[str, Any]:
    """Everything that the program says, by name."""
    missing = [name for name in NEEDED if not os.environ.get(name)]
    if missing:
        sys.exit(f"set {', '.join(missing)}: the folders of data sets and public checkpoints")
    if os.environ.get("OMP_NUM_THREADS") != "1":
        sys.exit("set OMP_NUM_THREADS=1: sums by several threads may differ in their last bits")
    print(f"recording {Path(noiseproof.__file__).parent}", file=sys.stderr)
    started = time.monotonic()
    for name in PRELOADED:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        links = {
            "studies": REPOSITORY / "studies",
            "cifar-nets": REPOSITORY / "studies" / "weights",
            "own-nets": REPOSITORY / "studies" / "noise-aware-norm" / "weights",
            "checkpoints": Path(os.environ["NOISEPROOF_CHECKPOINTS"]),
            "scenes": Path(os.environ["NOISEPROOF_SCENES"]),
        }
        for name, place in links.items():
            (work / name).symlink_to(place.resolve())
        write_files(work, REPOSITORY / "studies")
        found: dict[str, Any] = {"about": about()}
        for command in commands():
            found |= ran(command, work)
            print(f"{time.monotonic() - started:6.1f} s  {command.name}", file=sys.stderr)
        for path in sorted(work.glob("rows-*.csv")):
            found[f"rows {path.stem.removeprefix('rows-')}"] = rows_in(path)
        found["facts of the study"] = without_clock(read_json(work / "tiny" / "networks.json"))
        for page in write_pages(REPOSITORY, work):
            found[f"page {page.name}"] = page_of(page)
    calls = quiet_results()
    for name, rows in calls.pop("rows").items():
        found[f"rows by npf: {name}"] = table_of(rows)
    found |= {f"npf: {name}": without_clock(one) for name, one in calls.items()}
    print(f"{time.monotonic() - started:6.1f} s in all", file=sys.stderr)
    return found


def about() -> dict[str, str]:
    """Where this was written. Not compared."""
    return {
        "noiseproof": noiseproof.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "capability": torch.backends.cpu.get_cpu_capability(),
    }


def ran(command: Command, work: Path) -> dict[str, Any]:
    """What one call says and leaves, by name."""
    done = called(command.all_words, work)
    if "Traceback" in done.stderr or (done.returncode and "mistake" not in command.name):
        sys.exit(f"{command.name} failed with {done.returncode}:\n{done.stderr}")
    lines = done.stdout.splitlines()
    said: dict[str, Any] = {"exit code": done.returncode}
    if command.has_json:
        said["document"] = without_clock(json.loads(lines.pop()))
    said["text"] = normalised("\n".join(lines), work)
    # Lines of progress come by the clock; those of warnings and mistakes start with the name.
    messages = [line for line in done.stderr.splitlines() if line.startswith("noiseproof:")]
    if not command.name.startswith("study run"):  # which piece ends when is a matter of luck
        said["messages"] = normalised("\n".join(messages), work)
    found: dict[str, Any] = {command.name: said}
    for page in command.pages:
        found[f"page {page}"] = page_of(work / page, work)
    for picture in command.pictures:
        found[f"picture {picture}"] = pixels_of(work / picture)
    for pattern in command.files:
        for path in sorted(work.glob(pattern)):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            found[f"file {path.relative_to(work)}"] = digest
    return found


def called(words: Sequence[str], work: Path) -> subprocess.CompletedProcess[str]:
    """What `python -m noiseproof.cli WORDS` does in the folder `work`, in a process of its own.

    The process is forked, so that the libraries of `PRELOADED` are imported once and not a hundred
    times; of `noiseproof` nothing but the package itself is imported before.
    """
    said, complained = work / ".stdout", work / ".stderr"
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        os.chdir(work)
        os.environ |= FIXED
        for number, path in ((1, said), (2, complained)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        sys.argv = ["noiseproof", *words]
        sys.path[0] = ""  # the work folder, as `python -m` has it
        code = 1
        try:
            runpy.run_module("noiseproof.cli", run_name="__main__", alter_sys=True)
            code = 0
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else int(left.code is not None)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return subprocess.CompletedProcess(words, code, said.read_text(), complained.read_text())


def normalised(text: str, work: Path | None = None) -> str:
    """`text` by `RULES`, without the work folder's own name and without blanks at line ends."""
    if work is not None:
        text = text.replace(str(work), "WORK")
    for pattern, instead in RULES:
        text = pattern.sub(instead, text)
    return "\n".join(line.rstrip() for line in text.splitlines())


def without_clock(value: Any) -> Any:
    """A document without what depends on the clock, the machine and the versions."""
    if isinstance(value, dict):
        return {k: without_clock(v) for k, v in value.items() if k not in CLOCK}
    if isinstance(value, list | tuple):
        return [without_clock(one) for one in value]
    return normalised(value) if isinstance(value, str) else value


def page_of(path: Path, work: Path | None = None) -> dict[str, Any]:
    """The text of a page, a line for each block of it, and the sha256 of each figure."""
    source = path.read_text()
    if path.suffix != ".html":
        return {"text": normalised(source, work)}
    figures = re.findall(r"Plotly\.newPlot\(.*?</script>|<svg\b.*?</svg>", source, flags=re.DOTALL)
    body = re.sub(r"<(script|style)\b.*?</\1>", "", source, flags=re.DOTALL)
    body = re.sub(r"</?(?:td|th)\b[^>]*>", " | ", re.sub(r"\s+", " ", body))
    body = re.sub(r"<(?:p|tr|h\d|li|div|table|text|br)\b[^>]*>", "\n", body)
    text = html.unescape(re.sub(r"<[^>]*>", "", body))
    lines = (re.sub(r"[ |]*\|[ |]*", " | ", line).strip(" |") for line in text.splitlines())
    return {
        "text": normalised("\n".join(line for line in lines if line), work),
        "figures": [hashlib.sha256(normalised(one).encode()).hexdigest() for one in figures],
    }


def pixels_of(path: Path) -> dict[str, Any]:
    """A picture's size and the sha256 of its pixels; the file also names the plotting library."""
    with Image.open(path) as image:
        pixels = image.convert("RGBA")
        return {"size": list(pixels.size), "sha256": hashlib.sha256(pixels.tobytes()).hexdigest()}


def rows_in(path: Path) -> dict[str, Any]:
    """The rows that `export` wrote."""
    with path.open(newline="") as file:
        return table_of(list(csv.DictReader(file)))


def table_of(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Rows in short: `same` are the columns in which all agree, `columns` the others."""
    kept = [
        {k: hashed(v) if k == "hits" else v for k, v in row.items() if k not in CLOCK}
        for row in rows
    ]
    names = list(kept[0])
    same = {name: kept[0][name] for name in names if all(r[name] == kept[0][name] for r in kept)}
    varying = [name for name in names if name not in same]
    values = [[row[name] for name in varying] for row in kept]
    return {"same": same, "columns": varying, "rows": values}


def hashed(hits: str) -> str:
    """The sha256 of hits in hexadecimal digits; no hits stay none."""
    return hashlib.sha256(bytes.fromhex(hits)).hexdigest() if hits else ""


def read_json(path: Path) -> Any:
    """What a JSON file holds."""
    return json.loads(path.read_text())


def packed(value: Any) -> str:
    """JSON text, compressed where it is long."""
    text = json.dumps(value)
    if len(text) < BIG:
        return text
    return json.dumps({"zlib": base64.b64encode(zlib.compress(text.encode(), 9)).decode()})


def unpacked(document: dict[str, Any]) -> dict[str, Any]:
    """What `packed` was given, for every entry."""
    return {
        name: json.loads(zlib.decompress(base64.b64decode(one["zlib"])))
        if isinstance(one, dict) and list(one) == ["zlib"]
        else one
        for name, one in document.items()
    }


# --- comparing -----------------------------------------------------------------------------------


def report(old: dict[str, Any], new: dict[str, Any]) -> int:
    """Print what is new and what differs; the exit code."""
    before, after = old.pop("about"), new.pop("about")
    for name in before.keys() | after.keys():
        if name != "noiseproof" and before.get(name) != after.get(name):
            print(f"note: {name} {before.get(name)} then, {after.get(name)} now")
    new_fields: list[str] = []
    differences = list(compared("", old, new, new_fields))
    for line in new_fields:
        print(f"new: {line.removeprefix(' > ')}")
    for line in differences:
        print(f"DIFFERS: {line.removeprefix(' > ')}")
    hits = sum(len(one["rows"]) for name, one in old.items() if name.startswith("rows "))
    print(
        f"{len(old)} entries, {hits:,} rows: {len(differences)} differences, {len(new_fields)} new"
    )
    return 1 if differences else 0


def compared(place: str, old: Any, new: Any, added: list[str]) -> Iterator[str]:
    """The differences below `place`; what only `new` has goes to `added`."""
    if isinstance(old, dict) and isinstance(new, dict):
        if "columns" in old and "rows" in old and "rows" in new:
            yield from _tables(place, old, new, added)
            return
        added += [f"{place} > {name}" for name in new if name not in old]
        for name, value in old.items():
            if name not in new:
                yield f"{place} > {name}: is gone"
            else:
                yield from compared(f"{place} > {name}", value, new[name], added)
    elif isinstance(old, list) and isinstance(new, list):
        if len(old) != len(new):
            yield f"{place}: {len(old)} items then, {len(new)} now"
        for index, (one, other) in enumerate(zip(old, new, strict=False)):
            yield from compared(f"{place}[{index}]", one, other, added)
    elif isinstance(old, str) and isinstance(new, str) and "\n" in old and old != new:
        lines = difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=0)
        changed = [line for line in lines if not line.startswith(("---", "+++", "@@"))]
        more = f"\n    and {len(changed) - SHOWN} lines more" if len(changed) > SHOWN else ""
        yield f"{place}:\n    " + "\n    ".join(changed[:SHOWN]) + more
    elif old != new or type(old) is not type(new):
        yield f"{place}: {str(old)[:200]!r} then, {str(new)[:200]!r} now"


def _tables(
    place: str, old: dict[str, Any], new: dict[str, Any], added: list[str]
) -> Iterator[str]:
    """Rows compared by the columns that both have, whatever their order."""
    before, after = _rows(old), _rows(new)
    names = [name for name in before[0] if name in after[0]]
    added += [f"{place}, column {name}" for name in after[0] if name not in before[0]]
    yield from (f"{place}, column {name}: is gone" for name in before[0] if name not in after[0])
    there = {_key(row, names) for row in after}
    lost = [row for row in before if _key(row, names) not in there]
    if len(before) != len(after):
        yield f"{place}: {len(before)} rows then, {len(after)} now"
    for row in lost[:ROWS_SHOWN]:
        nearest = max(after, key=lambda one: sum(one[name] == row[name] for name in names))
        changed = ", ".join(
            f"{name} {row[name]!r} then, {nearest[name]!r} now"
            for name in names
            if row[name] != nearest[name]
        )
        yield f"{place}, row {before.index(row)}: {changed}"
    if len(lost) > ROWS_SHOWN:
        yield f"{place}: {len(lost) - ROWS_SHOWN} more rows differ"


def _key(row: dict[str, Any], names: Sequence[str]) -> str:
    """What two rows must have in common."""
    return json.dumps([row[name] for name in names])


def _rows(table: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of `table_of`, each with all columns."""
    return [
        table["same"] | dict(zip(table["columns"], values, strict=True)) for values in table["rows"]
    ]


if __name__ == "__main__":
    main()
