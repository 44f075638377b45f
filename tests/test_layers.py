"""Who may import whom, and who may touch the world outside (docs/design.md, layers)."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
PACKAGES = ("geozarr", "pyramids", "tiler", "conformance")
# What each module of geozarr may import of geozarr; a module missing here fails the test, so it gets a place.
GEOZARR_LAYERS = (
    ("geozarr.errors",),
    ("geozarr.window", "geozarr.crs", "geozarr.codecs", "geozarr.heap", "geozarr.hurry", "geozarr.vocabulary"),
    ("geozarr.grid",),
    ("geozarr.tms", "geozarr.cf", "geozarr.conventions"),
    ("geozarr.levels", "geozarr.documents", "geozarr.flags"),
    ("geozarr.zarr_v2",),
    ("geozarr.answers", "geozarr.targets"),
    ("geozarr.files",),
    ("geozarr.stores",),
    ("geozarr.icechunk_store", "geozarr.zip_store"),
    ("geozarr.store", "geozarr.shards"),
    ("geozarr.manifest", "geozarr.stored_array", "geozarr.zarr_view"),
    ("geozarr.datasets",),
    ("geozarr.pyramid",),
)
# `geozarr-check --source` asks the builder what it would put right in a raster.
DOORS = {("conformance.cli", "pyramids.survey")}
AT_THE_EDGE = ("cli.py", "app.py", "settings.py", "targets.py", "processes.py")


@dataclass(frozen=True)
class Module:
    """A source file and its parsed text."""

    name: str
    path: Path
    tree: ast.Module

    def imports(self, *, with_types: bool = True) -> set[str]:
        """Full names of what it imports; an imported name counts as a module where one of that name exists."""
        skipped = set() if with_types else {id(node) for block in _type_blocks(self.tree) for node in ast.walk(block)}
        found = set()
        for node in ast.walk(self.tree):
            if id(node) in skipped:
                continue
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.name}: relative import in line {node.lineno}"
                found |= {_module_or_parent(f"{node.module}.{alias.name}", str(node.module)) for alias in node.names}
        return found


def _type_blocks(tree: ast.Module) -> list[ast.If]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)]


def _module_or_parent(name: str, parent: str) -> str:
    path = PROJECT / name.replace(".", "/")
    return name if path.with_suffix(".py").is_file() or (path / "__init__.py").is_file() else parent


def _modules(package: str) -> list[Module]:
    found = []
    for path in sorted((PROJECT / package).rglob("*.py")):
        parts = path.relative_to(PROJECT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found.append(Module(name, path, ast.parse(path.read_text(encoding="utf-8"))))
    return found


def _package_of(name: str) -> str:
    return name.partition(".")[0]


def _layer_of(name: str) -> int:
    for index, names in enumerate(GEOZARR_LAYERS):
        if any(name == member or name.startswith(f"{member}.") for member in names):
            return index
    raise AssertionError(f"{name} has no place in the layers of geozarr")


@pytest.mark.parametrize("package", PACKAGES)
def test_only_geozarr_is_shared(package: str) -> None:
    allowed = {package, "geozarr"}
    wrong = {
        (module.name, name)
        for module in _modules(package)
        for name in module.imports()
        if _package_of(name) in PACKAGES and _package_of(name) not in allowed
    }
    assert not wrong - DOORS


def test_geozarr_modules_import_lower_layers_only() -> None:
    wrong = set()
    for module in _modules("geozarr"):
        if module.name == "geozarr":
            continue  # the package's front, which names everything
        for name in module.imports():
            if _package_of(name) == "geozarr" and not _same_family(name, module.name):
                same_or_lower = _layer_of(name) <= _layer_of(module.name)
                if not same_or_lower:
                    wrong.add((module.name, name))
    assert not wrong


def _same_family(one: str, other: str) -> bool:
    """Modules of one sub-package may import each other."""
    return one.split(".")[:2] == other.split(".")[:2]


@pytest.mark.parametrize("package", PACKAGES)
def test_modules_do_not_import_in_a_circle(package: str) -> None:
    graph = {
        module.name: {
            name for name in module.imports(with_types=False) if _package_of(name) == package and name != module.name
        }
        for module in _modules(package)
        if module.path.name != "__init__.py"
    }
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " <- ".join((*above, name))
        if name not in done:
            for other in graph.get(name, ()):
                visit(other, (*above, name))
            done.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize("package", PACKAGES)
def test_only_the_edge_prints_exits_and_reads_the_environment(package: str) -> None:
    wrong = [
        (module.name, node.lineno, ast.unparse(node))
        for module in _modules(package)
        if module.path.name not in AT_THE_EDGE
        for node in ast.walk(module.tree)
        if _touches_the_world(node)
    ]
    assert not wrong


def _touches_the_world(node: ast.AST) -> bool:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id in ("print", "input", "exit", "quit", "SystemExit", "breakpoint")
    if isinstance(node, ast.Attribute):
        return ast.unparse(node) in ("os.environ", "os.getenv", "os.putenv", "sys.exit", "os._exit", "sys.argv")
    if isinstance(node, ast.ImportFrom):
        names = {alias.name for alias in node.names}
        return (node.module == "os" and bool(names & {"environ", "getenv"})) or (
            node.module == "sys" and "exit" in names
        )
    return isinstance(node, ast.Raise) and node.exc is not None and "SystemExit" in ast.unparse(node.exc)


@pytest.mark.parametrize("package", PACKAGES)
def test_package_fronts_hold_imports_and_all_only(package: str) -> None:
    wrong = [
        (module.name, ast.unparse(node))
        for module in _modules(package)
        if module.path.name == "__init__.py"
        for node in module.tree.body
        if not _belongs_to_a_front(node)
    ]
    assert not wrong


def _belongs_to_a_front(node: ast.stmt) -> bool:
    if isinstance(node, ast.FunctionDef):
        return node.name == "__getattr__"  # an import made when it is needed, where one at once would slow the start
    if isinstance(node, ast.If):
        return "TYPE_CHECKING" in ast.unparse(node.test) and all(map(_belongs_to_a_front, node.body))
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    if isinstance(node, ast.Assign):
        return [ast.unparse(target) for target in node.targets] == ["__all__"]
    return isinstance(node, ast.Import | ast.ImportFrom)


@pytest.mark.parametrize(
    ("source", "touches"),
    [
        ("print('x')", True),
        ("import os\nos.environ['A']", True),
        ("from os import getenv", True),
        ("import sys\nsys.exit(2)", True),
        ("raise SystemExit", True),
        ("import os\nos.path.join('a')", False),
        ("printed = 1", False),
    ],
)
def test_the_scan_sees_what_it_looks_for(source: str, touches: bool) -> None:
    assert any(_touches_the_world(node) for node in ast.walk(ast.parse(source))) is touches
