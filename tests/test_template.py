"""The template for other papers, from an empty folder; and the workflow that publishes books."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

ROOT = Path(__file__).parents[1]
TEMPLATE = ROOT / "book" / "_static" / "template"
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("papers") / "mine"
    shutil.copytree(TEMPLATE, folder)
    done = subprocess.run(["make", f"BIN={BIN}"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_one_command_makes_runs_page_and_verdict(built):
    page = (built / "_build" / "html" / "claim.html").read_text()
    assert "<strong>supported</strong>" in page
    assert "20 runs, commit: none yet" in page
    assert "<img" in page


def test_losses_are_those_of_the_closed_form(built):
    # without momentum each weight shrinks by (1 - rate * scale) a step, whatever came before
    for file in (built / "records").glob("*.json"):
        held = json.loads(file.read_text())
        e = held["experiment"]
        if e["method"] == "plain":
            weights, scales = (
                np.random.default_rng(e["seed"]).normal(size=20),
                np.geomspace(1, 50, 20),
            )
            left = weights * (1 - e["rate"] * scales) ** e["steps"]
            assert held["losses"][-1] == pytest.approx((scales * left**2).sum() / 2)


def test_what_is_there_is_not_trained_again(built):
    before = {file: file.stat().st_mtime_ns for file in (built / "records").iterdir()}
    subprocess.run(["make", "runs", f"BIN={BIN}"], cwd=built, check=True, capture_output=True)
    assert {file: file.stat().st_mtime_ns for file in (built / "records").iterdir()} == before


def test_the_notebook_has_no_outputs_and_the_page_names_every_file():
    cells = json.loads((TEMPLATE / "notebooks" / "claim.ipynb").read_text())["cells"]
    assert not any(cell.get("outputs") for cell in cells)
    page = (ROOT / "book" / "author.md").read_text()
    top = [path.name for path in TEMPLATE.iterdir() if path.name not in ("README.md", "notebooks")]
    assert all(f"_static/template/{name}" in page for name in top)


def test_the_workflow_runs_commands_that_the_makefile_has():
    flow = yaml.safe_load((ROOT / ".github" / "workflows" / "book.yml").read_text())
    steps = [step for job in flow["jobs"].values() for step in job["steps"]]
    makefile = (ROOT / "Makefile").read_text()
    runs = [step["run"] for step in steps if "run" in step]
    assert runs == ["make test", "make book"]
    assert all(f"\n{run.split()[1]}:" in makefile for run in runs)
    assert all("@v" in step["uses"] for step in steps if "uses" in step)
