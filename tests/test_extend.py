"""The page "Add your own", followed to the letter in a copy of the package."""

import os
import re
import shutil
import subprocess
import sys

from dclib import paths

WIRING = (
    "columns_hear_of_those_that_they_are_said_to",
    "heads_read_what_they_are_said_to",
    "weights_between_columns_and_heads_are_whose_they_are_said_to_be",
    "a_penalty_ties_what_it_is_said_to",
    "stages_of_training_come_as_they_are_said_to",
    "every_method_has_a_legible_picture",
)
TESTS = (  # those that go through the registries, as far as they need no second network
    "tests/test_ids.py::test_ids_of_plans_stay",
    "tests/test_house.py::test_imports_go_down_only",
    "tests/test_methods.py::test_the_example_of_the_book_is_a_method",
    *(f"tests/test_figures_relatives.py::test_{name}[mean]" for name in WIRING),
    "tests/test_paper.py",
)
CLAIM = (
    "4.2-mine,,4.2,ours,yes,resnet18,no,mtfl,lower,failure rate,mine,,04_2_mtfl,DCNet < RN,,,,Mine,"
)
FIGURE = '    "mine": lambda preset: [experiment(preset, "mean")],\n'


def insert(file, mark: str, line: str) -> None:
    text = file.read_text()
    assert text.count(mark) == 1, mark
    file.write_text(text.replace(mark, line + mark))


def test_a_newcomer_who_follows_the_page_breaks_no_test(tmp_path):
    root = paths.root()
    for name in ("dclib", "tests", "book/extend.md", "results/selection.csv", "pyproject.toml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (root / name).is_dir() else shutil.copy
        copy(root / name, tmp_path / name)
    shutil.copytree(root / "notebooks", tmp_path / "notebooks")
    page = (tmp_path / "book" / "extend.md").read_text()
    method, line = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    (command,) = re.findall(r"```bash\n(.*?)```", page, flags=re.DOTALL)
    methods = tmp_path / "dclib" / "methods"
    (methods / "mean.py").write_text(method)
    insert(methods / "__init__.py", "    mtan,\n", "    mean,\n")
    insert(methods / "__init__.py", '    "Progressive": ', f"    {line}")
    study = tmp_path / "dclib" / "study"
    insert(study / "plans" / "__init__.py", '    "relatives": relatives_panel', FIGURE)
    with (study / "claims.csv").open("a") as claims:
        claims.write(CLAIM + "\n")

    kept = {n: v for n, v in os.environ.items() if not n.startswith(("DCLIB_", "PYTEST"))}
    kept |= {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    python, *words = command.split()
    assert python == "python"
    tests = ["-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *TESTS]
    for each in (words, tests):
        done = subprocess.run(
            [sys.executable, *each], cwd=tmp_path, env=kept, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
