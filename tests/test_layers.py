"""The order of the code: a wing imports lower wings only, nothing imports in a circle, and what is
asked, told and claimed does without torch."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest

import noiseproof

ROOT = Path(noiseproof.__file__).parent
WINGS = (  # lowest first; hardening has its place before it is built
    "core",
    "specs",
    "stats",
    "network",
    "hardware",
    "data",
    "results",
    "noise",
    "recalibration",
    "models",
    "tasks",
    "training",
    "hardening",
    "measuring",
    "report",
    "study",
    "cli",
)
FILES = sorted(path for path in ROOT.rglob("*.py") if path.parent != ROOT)
FACES = {path.parent for path in FILES if path.name == "__init__.py"}
WITHOUT_TORCH = ("core", "specs", "stats", "results", "report", "study", "cli")
WITH_TORCH = (
    *("core.device", "core.inputs", "core.rng", "study.run"),
    # what the commands do once their options are read
    *("cli.demonstration", "cli.learning", "cli.running", "cli.studying", "cli.__main__"),
)


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {name_of(path) for path in FILES}


def imported(path: Path) -> Iterator[tuple[str, bool]]:
    """The modules of the package that a file imports, wherever the import stands, and whether it
    stands inside a function. What only the types need counts; a face, which names the modules of
    its own package, does not."""
    tree = ast.parse(path.read_text())
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            full = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports would hide their wing"
            full = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in full:
            package, _, rest = name.partition(".")
            if package == "noiseproof":
                module = rest if rest in NAMES else rest.rpartition(".")[0]
                yield module, id(node) in inside


def test_the_package_is_wings_and_little_else() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in FILES} <= set(WINGS)
    assert sum(path.is_file() for path in ROOT.iterdir()) <= 4


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_wing_imports_lower_wings_only(path: Path) -> None:
    own = path.relative_to(ROOT).parts[0]
    wings = {module.partition(".")[0] for module, _ in imported(path)} - {own, ""}
    assert [wing for wing in wings if WINGS.index(wing) > WINGS.index(own)] == []


def test_nothing_imports_in_a_circle() -> None:
    graph = {
        name_of(path): {module for module, _ in imported(path)}
        for path in FILES
        if path.name != "__init__.py"
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_nothing_is_imported_inside_a_function_outside_the_command_line(path: Path) -> None:
    own = path.relative_to(ROOT).parts[0]
    assert own == "cli" or [module for module, hidden in imported(path) if hidden] == []


@pytest.mark.parametrize("wing", ["", *WITHOUT_TORCH])
def test_asking_telling_and_claiming_do_without_torch(wing: str) -> None:
    names = [
        f"noiseproof.{name}".rstrip(".")
        for name in sorted(NAMES | {""})
        if name.partition(".")[0] == wing and not name.startswith(WITH_TORCH)
    ]
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


def test_rng_and_seeds_alone_make_generators_and_seed_them() -> None:
    makers = {"Generator", "manual_seed", "seed", "default_rng", "fork_rng"}
    found = {
        name_of(path)
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and getattr(node.func, "attr", getattr(node.func, "id", "")) in makers
    }
    assert found == {"core.rng", "core.seeds"}


def test_public_names_load_on_first_use() -> None:
    wings = [import_module(f"noiseproof.{wing}") for wing in WINGS if wing in NAMES]
    for face in (noiseproof, *wings):
        for name in dir(face):
            assert getattr(face, name) is not None
    assert callable(noiseproof.track)
    with pytest.raises(AttributeError, match="module 'noiseproof' has no attribute 'nothing'"):
        _ = noiseproof.nothing


def test_no_module_shares_its_name_with_a_public_function() -> None:
    """Importing the module would hide the function."""
    for package in (ROOT, *FACES):
        modules = {name_of(p).rpartition(".")[2] for p in FILES if p.parent == package}
        modules |= {name_of(p).rpartition(".")[2] for p in FACES if p.parent == package}
        face = import_module(".".join(("noiseproof", *package.relative_to(ROOT).parts)))
        functions = {name for name in dir(face) if callable(getattr(face, name))}
        assert functions.isdisjoint(modules)
