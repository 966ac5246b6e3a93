"""The lock, the conda environment, the package's own metadata and the commands agree."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

import dclib
from dclib import paths

ROOT = paths.root()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PYTHONS = ("3.11", "3.12", "3.13")


def lines_of_lock() -> list[str]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return [line for line in lines if not line.startswith("#")]


def locked(python: str) -> dict[str, str]:
    """Name -> version that the lock gives a Python on Linux."""
    at = {
        "python_version": python,
        "python_full_version": f"{python}.7",
        "sys_platform": "linux",
        "platform_machine": "x86_64",
    }
    versions = {}
    for line in lines_of_lock():
        pinned = Requirement(line)
        if pinned.marker is None or pinned.marker.evaluate(at):
            versions[canonicalize_name(pinned.name)] = str(pinned.specifier).removeprefix("==")
    return versions


def direct_dependencies() -> list[Requirement]:
    extras = PROJECT["optional-dependencies"].values()
    return [Requirement(d) for d in [*PROJECT["dependencies"], *(d for e in extras for d in e)]]


def tracked() -> list[Path]:
    """Tracked files, and those that are about to be."""
    command = ["git", "ls-files", "-co", "--exclude-standard", "-z"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_lock_holds_only_exact_versions():
    for line in lines_of_lock():
        assert re.fullmatch(r"[a-z0-9._-]+==[a-z0-9.]+( ; .+)?", line), line


@pytest.mark.parametrize("python", PYTHONS)
def test_lock_satisfies_every_direct_dependency(python):
    versions = locked(python)
    for wanted in direct_dependencies():
        assert wanted.specifier.contains(versions[canonicalize_name(wanted.name)]), wanted


def test_conda_environment_equals_the_lock():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    conda, pip = environment["dependencies"][:-1], environment["dependencies"][-1]["pip"]
    python = next(d for d in conda if d.startswith("python=")).removeprefix("python=")
    versions = locked(python)
    direct = sorted(wanted.name for wanted in direct_dependencies())
    assert pip == [
        "--constraint requirements.lock",
        *(f"{name}=={versions[canonicalize_name(name)]}" for name in direct),
        "--editable .",
    ]


def test_one_version_everywhere():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert PROJECT["version"] == dclib.__version__ == cited["version"]


def test_ci_runs_the_command_of_the_readme():
    readme = (ROOT / "README.md").read_text()
    first = re.search(r"```console\n(.*?)```", readme, re.S).group(1)
    assert re.findall(r"\$ (make \w+)", first) == ["make report", "make test"]
    assert re.search(r"^make test\b", (ROOT / ".ci" / "run").read_text(), re.M)
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


def test_example_of_the_readme_runs(capsys):
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    exec(compile(example, "README.md", "exec"), {})
    assert capsys.readouterr().out == "torch.Size([8, 5, 2])\n"


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_readme_leads_somewhere(page):
    text = (ROOT / page).read_text()
    named = [*re.findall(r"\]\(([^)#:]+)\)", text), *re.findall(r"`((?:book|tests)/[^` ]*)`", text)]
    missing = [name for name in named if not (ROOT / name).exists()]
    assert not missing


def test_no_path_of_a_machine_and_no_registry_in_tracked_files():
    private = re.compile(
        r"(?<![\w.<])/(tmp|work|root|home|farm|Users)/(?=[\w.])|files\.pythonhosted|pypi\.org"
    )
    found = []
    for path in tracked():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        if path != Path(__file__) and private.search(text):
            found.append(str(path.relative_to(ROOT)))
    assert not found


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize(
    ("python", "message"),
    [("false", "needs Python 3.11 or newer"), ("./bare", "install its venv module")],
)
def test_make_says_what_python_it_needs(tmp_path, python, message):
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    bare = tmp_path / "bare"  # recent enough, but without the module that makes environments
    bare.write_text('#!/bin/sh\n[ "$1" = -c ]\n')
    bare.chmod(0o755)
    done = subprocess.run(
        ["make", "lint", f"PYTHON={python}"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert message in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_tables_of_the_package_are_installed_with_it():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    patterns = settings["package-data"]["dclib"]
    tables = [path for end in ("csv", "toml") for path in (ROOT / "dclib").rglob(f"*.{end}")]
    names = {"reported", "claims", "rules", "sums", "chance", "selection", "presets"}
    assert {path.stem for path in tables} == names
    for path in tables:
        assert any(path.relative_to(ROOT / "dclib").match(pattern) for pattern in patterns)


@pytest.mark.slow
def test_installed_from_a_wheel_it_works_and_writes_nothing_beside_its_code(tmp_path):
    """In an environment of its own, from another folder, without the repository."""
    source, wheels, own = tmp_path / "source", tmp_path / "wheels", tmp_path / "own"
    for name in ("dclib", "results/selection.csv", "pyproject.toml", "README.md", "LICENSE"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-index"]
    building = ["wheel", *offline, "--no-build-isolation", "--wheel-dir", wheels, source]
    subprocess.run([*pip, *building], check=True)
    venv.create(own)
    python, (site,) = own / "bin" / "python", own.glob("lib/python*/site-packages")
    (site / "others.pth").write_text(sysconfig.get_path("purelib"))  # everything but dclib
    (wheel,) = wheels.iterdir()
    subprocess.run([*pip, "--python", python, "install", *offline, wheel], check=True)
    kept = {"PYTHONPATH", "PYTHONHOME"} | {n for n in os.environ if n.startswith("DCLIB_")}
    variables = {n: v for n, v in os.environ.items() if n not in kept | {"XDG_DATA_HOME"}}
    variables |= {"HOME": str(tmp_path / "home"), "PYTHONDONTWRITEBYTECODE": "1"}
    before = sorted(site.iterdir())

    def say(*words: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            list(map(str, words)), cwd=tmp_path, env=variables, capture_output=True, text=True
        )

    dclib = own / "bin" / "dclib"
    tiny = ["--train-faces", 32, "--batch", 16, "--epochs", 1, "--workers", 1]
    trained = say(dclib, "train", "--method", "RN-S", "--preset", "smoke", *tiny)
    assert trained.returncode == 0, trained.stderr
    assert "RN-S" in say(dclib, "runs", "list").stdout
    code = (
        "from dclib.study import plans; print(plans.experiment('cpu', 'DCNet', fingerprint='x').lr)"
    )
    (rate,) = {line.split(",")[3] for line in chosen_at_cpu() if ",DCNet," in line}
    assert say(python, "-c", code).stdout.strip() == rate
    refused = say(dclib, "report")
    assert refused.returncode == 1
    assert "clone the repository" in refused.stderr
    Image.new("RGB", (60, 60)).save(tmp_path / "face.png")
    refused = say(dclib, "predict", "face.png")
    assert refused.returncode == 1
    assert "in the repository: clone it and name its results/ in DCLIB_RESULTS" in refused.stderr
    assert sorted(site.iterdir()) == before
    made = {path.name for path in (tmp_path / "home" / ".local" / "share" / "dclib").iterdir()}
    assert made == {"data", "store"}


def chosen_at_cpu() -> list[str]:
    """The lines of the committed table that runs at `cpu` on ResNet18 follow."""
    lines = (ROOT / "results" / "selection.csv").read_text().splitlines()
    return [line for line in lines if line.startswith("cpu,resnet18,") and line.endswith(",True")]
