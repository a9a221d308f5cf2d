"""What the pages show runs as it stands, and what they point at exists."""

import doctest
import inspect
import re
import runpy
import shlex
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import get_args, get_type_hints

import pytest
import torch
import yaml
from PIL import Image
from torch import nn
from typer.main import get_command

import noiseproof as npf
from noiseproof.cli import app
from noiseproof.core.rng import stream
from noiseproof.hardware import Device
from noiseproof.specs import Hardware, designs, estimators
from noiseproof.specs import noise as spec
from noiseproof.study.file import Study

ROOT = Path(__file__).parent.parent.parent
PAGES = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md")))
}
ORDER = runpy.run_path(str(ROOT / "tests/test_layers.py"))["WINGS"]
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of one language, in order."""
    return [text for name, text in FENCE.findall(PAGES[page]) if name == language]


def prose(page: str) -> str:
    """The page without its fenced blocks."""
    return FENCE.sub("", PAGES[page])


def having(language: str) -> list[str]:
    return [page for page in PAGES if blocks(page, language)]


READ = {  # what the command line checks after it has parsed
    "data": npf.catalog.check_dataset,
    "design": designs.parse_design,
    "levels": spec.parse_levels,
    "model": npf.catalog.check_model,
    "noise": spec.parse,
    "norm": npf.catalog.check_norm,
    "recalibrate": estimators.parse_estimator,
    "targets": spec.parse_targets,
}

# --- blocks --------------------------------------------------------------------------------------


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """What the pages take for granted: a model, test images, calibration images; an image folder
    and the study of the page in the working folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("0", "7"):
        folder = tmp_path / "imagenet" / "val" / name
        folder.mkdir(parents=True)
        Image.new("RGB", (300, 260)).save(folder / "one.jpg")
    (tmp_path / "study.toml").write_text(blocks("docs/studies.md", "toml")[0])
    with npf.rng.seeded(0, "pages"):
        model = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 5)
        ).eval()
    images = torch.randn(40, 3, 8, 8, generator=stream(0, "images"))
    with torch.no_grad():
        labels = model(images).argmax(1)
    return {"model": model, "test": (images, labels), "calibration_images": images}


@pytest.mark.parametrize("page", having("python"))
def test_the_python_blocks_of_a_page_run_in_order(page: str, toys: dict[str, object]) -> None:
    for number, block in enumerate(blocks(page, "python"), start=1):
        exec(compile(block, f"{page}, block {number}", "exec"), toys)


def test_the_python_of_the_readme_makes_what_it_says(toys: dict[str, object]) -> None:
    (block,) = blocks("README.md", "python")
    exec(compile(block, "README.md", "exec"), toys)
    curve = toys["curve"]
    assert isinstance(curve, npf.results.Curve)
    assert curve.levels == (0.0, 0.05, 0.1, 0.2)
    assert isinstance(toys["chip"], nn.Sequential)
    assert isinstance(toys["fixed"], nn.Sequential)


@pytest.mark.parametrize("page", having("toml"))
def test_the_files_of_a_page_are_valid(page: str) -> None:
    for block in blocks(page, "toml"):
        document = tomllib.loads(block)
        kind = Study if "claim" in document else Device if "program" in document else Hardware
        kind.model_validate(document)


def shell_lines() -> Iterator[tuple[str, str]]:
    """Every line of a block without a language that begins with a command of ours."""
    for page in PAGES:
        for block in blocks(page, ""):
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith(("noiseproof ", "make ")):
                    yield page, line


@pytest.mark.parametrize(
    ("page", "line"), [one for one in shell_lines() if one[1].startswith("noiseproof ")]
)
def test_a_command_line_parses(page: str, line: str) -> None:
    """Every option that a page writes exists, with a value that means something."""
    command, words = get_command(app), shlex.split(line, comments=True)
    while hasattr(command, "commands"):  # a group; typer has a click of its own
        command, words = command.commands[words[1]], words[1:]
    given = command.make_context(words[0], words[1:]).params
    for name, read in READ.items():
        values = given.get(name) or []
        for value in values if isinstance(values, list | tuple) else [values]:
            read(value)


def test_every_make_target_that_a_page_names_is_one() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    named = {word for text in PAGES.values() for word in re.findall(r"\bmake ([a-z-]+)`", text)}
    named |= {line.split()[1] for _, line in shell_lines() if line.startswith("make ")}
    assert {"demo", "test", "docs"} <= named
    assert named <= set(targets)


# --- what is there -------------------------------------------------------------------------------


def anchors(page: str) -> set[str]:
    """The names of a page's headings, as a browser and a repository's host make them."""
    found = re.findall(r"^#+ (.+)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in found}


@pytest.mark.parametrize("page", PAGES)
def test_a_link_leads_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        assert "://" not in target, "these pages are read without a network"
        path, _, anchor = target.partition("#")
        there = (ROOT / page).parent / path if path else ROOT / page
        assert there.resolve().is_file(), target
        if anchor:
            assert anchor in anchors(str(there.resolve().relative_to(ROOT))), target


def listed() -> set[str]:
    """The pages that the tables of contents name."""
    found = {"docs/index.md"}
    for page in PAGES:
        for block in blocks(page, "{toctree}"):
            names = [line for line in block.split() if not line.startswith(":")]
            found |= {str(Path(page).parent / f"{name}.md") for name in names}
    return found


@pytest.mark.parametrize("page", PAGES)
def test_a_file_that_a_page_names_is_there(page: str) -> None:
    """Its path is from the repository, or within the package."""
    homes = (ROOT, ROOT / "src/noiseproof")
    tops = {path.name for home in homes for path in home.iterdir() if path.is_dir()} - {
        "build",
        "runs",
    }
    for name in re.findall(r"`([\w./-]+)`", prose(page)):
        if (name.partition("/")[0] in tops and "/" in name) or name.endswith((".md", ".cff")):
            assert any((home / name).exists() for home in homes), name


def test_the_table_of_wings_names_all_of_them_and_files_that_they_have() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .* \| (.*) \|$", PAGES["docs/architecture.md"], re.MULTILINE)
    package = ROOT / "src/noiseproof"
    assert [wing for wing, _ in rows] == [wing for wing in ORDER if (package / wing).is_dir()]
    for wing, files in rows:
        for name in re.findall(r"\w+", re.sub(r"\(.*?\)", "", files).replace(" and ", " ")):
            assert list((package / wing).glob(f"{name}*")), f"{wing}/{name}"


@pytest.mark.parametrize("page", [page for page in PAGES if page.startswith("docs/")])
def test_a_page_is_in_the_contents(page: str) -> None:
    assert page in listed()


def test_the_readme_is_short_and_its_first_screen_holds_what_matters() -> None:
    lines = PAGES["README.md"].splitlines()
    assert len(lines) <= 130
    screen = "\n".join(lines[:40])
    for part in ("**chip**", "| ResNet-20 |", "![", "make demo", "make test", "npf.measure"):
        assert part in screen


def test_the_citation_is_of_this_version_and_its_references_are_complete() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["version"] == npf.__version__
    assert cited["license"] == "Apache-2.0"
    for one in [cited, *cited["references"]]:
        assert {"type", "title", "authors"} <= one.keys()
        assert all({"name", "family-names"} & author.keys() for author in one["authors"])
    studies = {path.parent.name for path in ROOT.glob("studies/*/study.toml")}
    notes = " ".join(one["notes"] for one in cited["references"])
    assert {study for study in studies if f"study {study}" not in notes} == set()


# --- nothing is missing --------------------------------------------------------------------------

FUNCTIONS = [name for name in dir(npf) if inspect.isfunction(getattr(npf, name))]
WINGS = [
    name
    for name in dir(npf)
    if isinstance(getattr(npf, name), ModuleType) and (ROOT / "src/noiseproof" / name).is_dir()
]


@pytest.mark.parametrize("name", dir(npf))
def test_a_public_name_is_documented(name: str) -> None:
    assert any(f"`npf.{name}" in text for page, text in PAGES.items() if page != "README.md")


def arguments(function: Callable[..., object]) -> set[str]:
    """The names of the arguments, those of a TypedDict of keywords among them."""
    found: set[str] = set()
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            (keywords,) = get_args(parameter.annotation)
            found |= get_type_hints(keywords).keys()
        else:
            found.add(name)
    return found


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_argument_of_a_function_is_in_its_section(name: str) -> None:
    cookbook = PAGES["docs/cookbook.md"]
    section = cookbook.partition(f"\n### {name}\n")[2].partition("\n### ")[0]
    named = set(re.findall(r"`(\w+)`", section))
    assert arguments(getattr(npf, name)) <= named


@pytest.mark.parametrize("wing", WINGS)
def test_every_wing_with_a_face_has_its_page(wing: str) -> None:
    if dir(getattr(npf, wing)) and wing != "core":
        assert f"```{{face}} noiseproof.{wing}\n" in PAGES[f"docs/api/{wing}.md"]


def test_the_table_of_costs_is_that_of_the_results() -> None:
    script = runpy.run_path(str(ROOT / "benchmarks/costs_table.py"))
    assert (
        f"{script['BEGIN']}\n{script['table']()}\n{script['END']}" in PAGES["docs/performance.md"]
    )


def test_every_estimator_is_shown_as_it_is_written() -> None:
    kinds = "|".join(estimators.ESTIMATORS)
    shown = re.findall(rf"`(({kinds})\([^`]*\))`", PAGES["docs/recalibration.md"])
    assert {kind for _, kind in shown} == set(estimators.ESTIMATORS)
    for text, kind in shown:
        values = re.sub(r"\b[NBP]\b", "10", text).replace("(M", "(0.1")
        assert str(estimators.parse_estimator(values)).startswith(kind)


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("noise", [*spec.STAGES, *spec.REFERENCES, *spec.SCOPES, *spec.ROLES]),
        ("recalibration", [*estimators.ESTIMATORS]),
        ("statistics", [*designs.DESIGNS]),
        ("tasks", [*npf.catalog.NORMS, *npf.catalog.DATASETS, *npf.catalog.TASKS]),
        ("tasks", [*npf.catalog.DETECTORS, *npf.catalog.SEGMENTERS]),
    ],
)
def test_what_can_be_named_is_on_its_page(page: str, names: list[str]) -> None:
    text = PAGES[f"docs/{page}.md"]
    assert [name for name in names if not re.search(rf"`{re.escape(name)}\b", text)] == []


@pytest.mark.parametrize(("module", "examples"), [(spec, 3), (estimators, 2), (designs, 2)])
def test_the_examples_in_docstrings_hold(module: ModuleType, examples: int) -> None:
    found = doctest.testmod(module)
    assert found.attempted >= examples
    assert found.failed == 0
