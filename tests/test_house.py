"""The house: imports go down only, lazy ones too, and in no circle; light things stay light."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import dclib

HOUSE = Path(dclib.__file__).parent
FLOORS = (  # from the ground; what shares a floor does not import each other
    ("paths", "errors", "names"),
    ("files", "environment"),
    ("block", "tasks", "metrics"),
    ("splitting", "network", "pretrained", "simcc"),
    ("underlying",),
    ("methods",),
    ("factory",),
    ("fast",),
    ("data",),
    ("records",),
    ("training",),
    ("use", "sweep"),
    ("mtcnn",),
    ("study",),
    ("cli",),
    ("__main__",),
)
WING = ("paper", "plans", "speed", "analysis", "verdicts", "figures", "pages")  # rooms of `study`
FILES = {
    ".".join(["dclib", *path.relative_to(HOUSE).with_suffix("").parts]).removesuffix(
        ".__init__"
    ): path
    for path in HOUSE.rglob("*.py")
}


def imported(path: Path) -> set[str]:
    """The modules that a file imports, at its top, in functions or by their names as strings."""
    tree = ast.parse(path.read_text())
    typing = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in typing:
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            each = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in FILES else node.module for name in each}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
    return found & FILES.keys()


# The package itself only hands names on, when they are asked for.
GRAPH = {name: imported(path) - {name, "dclib"} for name, path in FILES.items() if name != "dclib"}


def test_no_file_imports_itself_in_a_circle():
    TopologicalSorter(GRAPH).prepare()  # raises, and names the circle


@pytest.mark.parametrize(
    ("depth", "floors"),
    [(1, FLOORS), (2, tuple((room,) for room in WING))],
    ids=["the house", "the wing"],
)
def test_imports_go_down_only(depth, floors):
    floor = {room: number for number, rooms in enumerate(floors) for room in rooms}

    def room(name: str) -> str:
        parts = name.split(".")
        return parts[depth] if len(parts) > depth and (depth == 1 or parts[1] == "study") else ""

    wrong = [
        f"{name} imports {there}"
        for name, all_of_it in GRAPH.items()
        for there in sorted(all_of_it)
        if room(name)
        and room(there)
        and room(name) != room(there)
        and floor[room(name)] <= floor[room(there)]
    ]
    assert wrong == []


def test_few_modules_lie_flat():
    assert len([path for path in HOUSE.glob("*.py") if path.name != "__init__.py"]) <= 14


LIGHT = {
    "an experiment": "from dclib.records.experiment import Experiment",
    "a record": "from dclib.records import runs; next(runs.committed()).outcomes.points()",
}


@pytest.mark.parametrize("what", LIGHT)
def test_needs_no_torch(what):
    code = f"import sys; {LIGHT[what]}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
