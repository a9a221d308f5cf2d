"""The layers of the code: a module imports lower rows only; the light ones do without torch."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import noiseproof

ROOT = Path(noiseproof.__file__).parent
ROWS: tuple[frozenset[str], ...] = (  # lowest first; the package `report` is one entry
    frozenset({"backbones", "cifar", "outside", "recipes", "records", "rng", "spec", "stats"}),
    frozenset({"estimators", "spread"}),
    frozenset({"catalog", "designs", "stopping", "streams"}),
    frozenset(
        {"accelerator", "detectors", "norms", "pacing", "parts", "points", "segmenters", "splits"}
    ),
    frozenset({"augmentation", "curves", "keeping", "pictures", "readers", "tasks"}),
    frozenset({"anatomy", "annotations", "folders", "lessons", "ranking", "traces"}),
    frozenset({"report", "scenes"}),
    frozenset({"data", "study"}),
    frozenset({"models", "network"}),
    frozenset({"checkpoint", "costs", "evaluation", "noise", "pooling", "replay", "taps"}),
    frozenset({"analog", "flipped_layers", "folding", "following"}),
    frozenset({"flipout", "grouping", "matching", "passes"}),
    frozenset({"image_chips", "recalibration"}),
    frozenset({"chips", "inventory", "job"}),
    frozenset({"bench", "training", "units"}),
    frozenset({"measuring"}),
    frozenset({"crew", "explaining", "sensitivity", "tracking"}),
    frozenset({"console"}),
    frozenset({"demo"}),
    frozenset({"cli"}),
)
ROW_OF = {module: row for row, modules in enumerate(ROWS) for module in modules}
FILES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


def module_of(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").parts[0]


def imported(tree: ast.AST) -> Iterator[str]:
    """The modules of the package that a file imports, wherever the import stands."""
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports would hide their row"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            package, _, rest = name.partition(".")
            if package == "noiseproof" and rest:
                yield rest.partition(".")[0]


def test_every_module_has_one_row() -> None:
    assert sum(map(len, ROWS)) == len(ROW_OF)
    assert set(ROW_OF) == {module_of(path) for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_lower_rows_only(path: Path) -> None:
    own = module_of(path)
    others = set(imported(ast.parse(path.read_text()))) - ({own} if path.parent != ROOT else set())
    assert {name for name in others if ROW_OF[name] >= ROW_OF[own]} == set()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_takes_nothing_but_the_version_from_the_package_itself(path: Path) -> None:
    taken = {
        node.attr
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "noiseproof"
    }
    assert taken <= {"__version__"}


def test_rng_alone_makes_generators_and_seeds_them() -> None:
    makers = {"Generator", "manual_seed", "seed", "default_rng", "fork_rng"}
    found = {
        module_of(path)
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and getattr(node.func, "attr", getattr(node.func, "id", "")) in makers
    }
    assert found == {"rng"}


LIGHT = (
    "",
    "anatomy",
    "catalog",
    "cli",
    "console",
    "curves",
    "designs",
    "estimators",
    "keeping",
    "pacing",
    "parts",
    "points",
    "recipes",
    "records",
    "report",
    "spec",
    "spread",
    "stats",
    "stopping",
    "streams",
    "study",
    "traces",
)


def test_the_light_modules_do_not_import_torch() -> None:
    names = [f"noiseproof.{module}".rstrip(".") for module in LIGHT]
    program = f"""
import sys
from importlib import import_module
for name in {names!r}:
    import_module(name)
    if "torch" in sys.modules:
        sys.exit(f"{{name}} imports torch")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_public_names_load_on_first_use() -> None:
    for name in dir(noiseproof):
        assert getattr(noiseproof, name) is not None
    assert callable(noiseproof.track)
    with pytest.raises(AttributeError, match="module 'noiseproof' has no attribute 'nothing'"):
        _ = noiseproof.nothing


def test_no_module_shares_its_name_with_a_public_function() -> None:
    """Importing the module would hide the function."""
    functions = {name for name in dir(noiseproof) if callable(getattr(noiseproof, name))}
    assert "track" in functions
    assert functions.isdisjoint(ROW_OF)
