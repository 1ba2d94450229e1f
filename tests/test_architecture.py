"""The folders are the data flow: what may import what, read from the syntax trees (CONTRIBUTING.md).

An import counts wherever it stands: at the top, inside a function, under TYPE_CHECKING, or as the name of a module in
a string, by which it is loaded.
"""

import ast
import sys
import tomllib
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import fracpool

PACKAGE = Path(fracpool.__file__).parent
FOLDERS = ("pooling", "records", "settings", "training", "sweep", "table", "findings", "report")
COMMANDS = ("__init__", "train", "status", "reproduce", "pack", "geometry", "regions", "command_line")
MAY_IMPORT = {
    "pooling": set(),
    "records": set(),
    "settings": {"pooling", "records"},
    "training": {"pooling", "settings", "records"},
    "sweep": {"training", "settings", "records"},
    "table": {"settings", "records"},
    "findings": {"table", "settings", "records"},
    "report": {"findings", "table", "settings", "records", "pooling.regions", "command_line"},
    "command_line": set(),
    "regions": {"pooling"},
    "geometry": {"pooling", "command_line"},
    "__init__": {"pooling", "geometry", "regions"},
    "train": {"sweep", "settings", "records", "command_line"},
    "status": {"settings", "records", "command_line"},
    "pack": {"records", "command_line"},
    "reproduce": {"sweep", "report", "settings", "records", "command_line", "train"},
}
# Libraries that a folder may import: none of these but where it is said.
HEAVY = {"tensorflow", "tensorflow_datasets", "keras", "jax", "torch", "pandas", "matplotlib", "scipy", "statsmodels"}
MAY_LOAD = {
    "pooling": {"keras", "numpy"},
    "pooling.ops": {"keras", "numpy", "tensorflow", "jax", "torch"},
    "records": {"numpy"},
    "settings": {"tensorflow_datasets", "keras", "pandas"},
    "training": {"tensorflow", "keras", "jax", "torch"},
    "sweep": set(),
    "table": {"pandas"},
    "findings": {"pandas", "scipy", "statsmodels"},
    "report": {"pandas", "matplotlib", "scipy"},
}


def module_name(file: Path) -> str:
    """fracpool.settings.check, and of a folder its __init__: fracpool.settings."""
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(file): file for file in sorted(PACKAGE.rglob("*.py"))}


def imported(file: Path) -> Iterator[str]:
    """What a file imports, by full name: of fracpool the module, of anything else the top package."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    documented = (node for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef))
    docstrings = {id(node.body[0].value) for node in documented if ast.get_docstring(node) is not None}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute"
            for name in node.names:
                whole = f"{node.module}.{name.name}"
                yield whole if whole in FILES else str(node.module)
        elif isinstance(node, ast.Constant) and id(node) not in docstrings and node.value in set(FILES) - {"fracpool"}:
            yield str(node.value)


def arrows() -> dict[str, set[str]]:
    """By module of fracpool, the modules of fracpool that it imports."""
    found = {}
    for module, file in FILES.items():
        names = {name for name in imported(file) if name.split(".")[0] == "fracpool"}
        found[module] = names - {module}
    return found


def part(module: str) -> str:
    """The folder or the command that a module belongs to."""
    return module.split(".")[1] if "." in module else "__init__"


def allowed(module: str, wanted: str) -> bool:
    own, other = part(module), part(wanted)
    may = MAY_IMPORT[own]
    return own == other or other in may or wanted.removeprefix("fracpool.") in may


def test_folder_listing_is_the_data_flow():
    assert {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"} == set(FOLDERS)
    assert {path.stem for path in PACKAGE.glob("*.py")} <= set(COMMANDS)
    assert len(list(PACKAGE.glob("*.py"))) <= 10


@pytest.mark.parametrize("folder", FOLDERS)
def test_folder_says_what_it_holds_and_imports(folder):
    text = ast.get_docstring(ast.parse((PACKAGE / folder / "__init__.py").read_text(encoding="utf-8")))
    assert "import" in text.lower()


def test_arrows_run_one_way():
    wrong = [f"{a} imports {b}" for a, names in arrows().items() for b in sorted(names) if not allowed(a, b)]
    assert wrong == []


def test_there_is_no_circle_between_files():
    try:
        TopologicalSorter(arrows()).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


def test_there_is_no_circle_between_folders():
    folders: dict[str, set[str]] = {}
    for module, names in arrows().items():
        folders.setdefault(part(module), set()).update(part(name) for name in names if part(name) != part(module))
    try:
        TopologicalSorter(folders).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


def libraries(file: Path) -> set[str]:
    return {name.split(".")[0] for name in imported(file)} & (HEAVY | {"hydra", "omegaconf"})


def test_libraries_are_loaded_where_they_belong():
    wrong = []
    for module, file in FILES.items():
        folder = part(module)
        if folder not in MAY_LOAD:
            continue
        place = "pooling.ops" if ".pooling.ops" in module else folder
        wrong += [f"{module} imports {name}" for name in sorted((libraries(file) & HEAVY) - MAY_LOAD[place])]
    assert wrong == []


def test_pooling_stands_alone():
    standard_and_own = {"fracpool", "keras", "numpy"}
    for module, file in FILES.items():
        if part(module) == "pooling" and ".ops." not in module:
            from_outside = {name.split(".")[0] for name in imported(file)} - standard_and_own
            assert from_outside <= set(sys.stdlib_module_names), module


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_the_picture_of_the_data_flow_shows_the_folders(document):
    picture = (PACKAGE.parents[1] / document).read_text(encoding="utf-8").partition("configs/ + experiments/ →")[2]
    shown = {word.rstrip("/") for line in picture.splitlines()[1:3] for word in line.split() if word.endswith("/")}
    assert shown == set(FOLDERS)


def test_the_wheel_has_every_folder():
    """Else one that is forgotten shows only where the package is installed."""
    project = tomllib.loads((PACKAGE.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    folders = {name for name, file in FILES.items() if file.name == "__init__.py"} | {"fracpool.report.templates"}
    outside = {"fracpool.configs", "fracpool.configs.experiment", "hydra_plugins.fracpool_sweeper"}
    assert set(project["tool"]["setuptools"]["packages"]) == folders | outside


def test_a_forbidden_arrow_is_seen():
    """The rules can fail."""
    assert not allowed("fracpool.table.results", "fracpool.training.run")
    assert not allowed("fracpool.report.figures.digits", "fracpool.pooling.fractional_max")
    assert allowed("fracpool.report.figures.digits", "fracpool.pooling.regions")
