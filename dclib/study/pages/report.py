"""From notebooks to a book: papermill executes them, jupyter-book builds the pages, strictly.

build/<preset>/executed/   pages made by notebooks, their figures and tables, how they ran
build/<preset>/book/       all pages: those of book/, under the executed ones
build/<preset>/_build/html the built book
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import nbformat
import yaml
from filelock import FileLock, Timeout

from dclib import paths
from dclib.errors import RunError
from dclib.study.pages import fragments
from dclib.study.pages.book import OUTPUT
from dclib.study.plans import presets

PACKAGES = ("torch", "torchvision", "numpy", "pandas", "matplotlib", "papermill", "jupyter-book")
AT_ONCE = 4  # notebooks at most, for each is a process of up to a gigabyte
LONGEST = ("02_relatives", "01_own_network", "04_5_mtcnn", "01_own_data", "04_3_aflw", "06_speed")
BANNERS = {
    "smoke": "Smoke build: tiny networks trained for seconds on synthetic faces, to show that"
    " everything runs. No number in it says anything about the paper."
}
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python", "pygments_lexer": "ipython3"},
}


def run(
    preset: str,
    publish: bool = False,
    notebooks: Sequence[str] | None = None,
) -> Path:
    """Execute notebooks with a preset and build the book around them.

    Interrupt it and call again: notebooks that were executed and runs that were trained stay.

    Args:
        preset: given to every notebook.
        publish: also copy the executed pages into book/, where the committed ones live; without
            any pixel of a real face, and only for the preset "cpu".
        notebooks: names, such as "04_2_mtfl"; all of them when left out. Other pages are the
            committed ones or, unless it is to publish, come from an earlier call.

    Returns:
        The front page of the built book.

    Raises:
        RunError: no clone of the repository; an unknown preset or notebook, before anything is
            executed; a notebook failed; the book has warnings or lacks pages; another process is
            at the same build.
    """
    if not paths.cloned():
        raise RunError(
            "the notebooks are not part of the installed package: clone the repository, and call"
            " `make report` there"
        )
    if preset not in presets.PRESETS:
        raise RunError(f"preset {preset!r} is unknown; choose from {list(presets.PRESETS)}")
    if publish and preset != "cpu":
        raise RunError(f"preset {preset!r} cannot be published: the committed pages are of 'cpu'")
    known = {path.stem: path for path in sources()}
    chosen = [Path(name).name.removesuffix(".ipynb") for name in notebooks or known]
    if unknown := [name for name in chosen if name not in known]:
        raise RunError(f"no notebook {unknown[0]!r}; there are {', '.join(known)}")
    build = paths.root() / "build" / ("published" if publish else preset)
    build.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(build / ".lock", timeout=0):
            if publish:  # no page of an earlier call, whose source or records may have changed
                shutil.rmtree(build / "executed", ignore_errors=True)
            _execute_all([known[name] for name in chosen], build, preset, publish)
            print("building the book", flush=True)
            index = _build(build, preset)
            if publish:
                shutil.copytree(build / "executed", paths.root() / "book", dirs_exist_ok=True)
                fragments.write(paths.root() / "book")
            print(f"the book is at {index}", flush=True)
    except Timeout:
        raise RunError(f"{build} is in use by another process: wait for it") from None
    return index


def sources() -> list[Path]:
    """The source notebooks, in the order of the book."""
    return sorted((paths.root() / "notebooks").glob("*.ipynb"))


def _execute_all(chosen: Sequence[Path], build: Path, preset: str, publish: bool) -> None:
    """All notebooks, some side by side, the longest first.

    What several of them need is made by whichever comes first: runs, cascades and face sets are
    locked one by one, so that two notebooks share the work.
    """
    from dclib.study.pages import kernels

    cores = os.cpu_count() or 1
    side = min(len(chosen), cores, AT_ONCE)
    order = sorted(chosen, key=lambda s: LONGEST.index(s.stem) if s.stem in LONGEST else 99)
    if side == 1:
        for count, source in enumerate(order, 1):
            print(f"[{count}/{len(order)}] {source.name}", flush=True)
            _execute(source, build, preset, publish)
        return
    share = str(cores // side)
    shares = {n: os.environ.get(n) or share for n in ("DCLIB_WORKERS", "OMP_NUM_THREADS")}
    # forked, so that nothing is imported again, and a signal from the terminal reaches each
    pool = ProcessPoolExecutor(side, get_context("fork"), initializer=kernels.use)
    with _environment(**shares), pool:
        waiting = {pool.submit(_execute, s, build, preset, publish): s for s in order}
        try:
            for count, done in enumerate(as_completed(waiting), 1):
                done.result()
                print(f"[{count}/{len(order)}] {waiting[done].name}", flush=True)
        except BrokenExecutor as error:
            raise RunError(
                "a process that executed a notebook was ended from outside, most often for lack of"
                " memory; finished notebooks and runs are kept: call again"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)  # those that run come to their end


def _execute(source: Path, build: Path, preset: str, publish: bool) -> None:
    """One notebook to build/executed/, whole or not at all."""
    from nbclient.exceptions import DeadKernelError
    from papermill import PapermillExecutionError, execute_notebook
    from traitlets.config import Config

    executed, partial = build / "executed", build / "running" / source.name
    for folder in (executed / OUTPUT, executed / fragments.FOLDER, partial.parent):
        folder.mkdir(parents=True, exist_ok=True)
    where = {"DCLIB_OUTPUT": str(executed / OUTPUT), "DCLIB_PUBLISH": "1" if publish else "0"}
    where["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"  # as a kernel sets it, late
    began = time.time()
    try:
        with _environment(**where):
            execute_notebook(
                source,
                partial,
                {"preset": preset},
                kernel_name="python3",
                progress_bar=False,
                start_timeout=600,  # seconds: on a busy machine importing alone takes minutes
                stderr_file=sys.stderr,
                cwd=str(partial.parent),
                config=Config({"KernelManager": {"transport_encryption": "auto"}}),
            )
    except PapermillExecutionError as error:
        line = error.source.strip().partition("\n")[0]
        raise RunError(
            f"{source.name} failed in cell [{error.exec_count}], `{line}`:"
            f" {error.ename}: {error.evalue}\n  as far as it got: {partial}"
        ) from error
    except DeadKernelError as error:
        raise RunError(
            f"{source.name}: its process was ended from outside, most often for lack of memory;"
            f" finished runs are kept\n  as far as it got: {partial}"
        ) from error
    log = {
        "notebook": source.name,
        "parameters": {"preset": preset},
        "seconds": round(time.time() - began),
        "when": time.strftime("%Y-%m-%d", time.gmtime(began)),
        "python": ".".join(map(str, sys.version_info[:3])),
        "packages": {name: version(name) for name in PACKAGES},
    }
    page = nbformat.read(partial, as_version=4)
    tidy(page)
    nbformat.write(page, partial)
    how = executed / fragments.FOLDER / f"{source.stem}.json"
    how.write_text(json.dumps(log, indent=1) + "\n")
    partial.replace(executed / source.name)


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Environment variables for notebooks' processes, which inherit those of this one."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def tidy(page: nbformat.NotebookNode) -> None:
    """Leave only what a reader sees, so that the same results give the same file.

    Times and paths go; progress goes, but not warnings, at which the strict build stops. The cell
    that papermill injects is hidden as the parameters cell is. A caption is that of a picture
    alone: what else its cell shows stands below it, in a cell of its own.
    """
    page.metadata = nbformat.from_dict(METADATA)
    hiding: list[str] = []
    cells = []
    for cell in page.cells:
        tags = cell.metadata.get("tags", [])
        if "parameters" in tags:
            hiding = [tag for tag in tags if tag != "parameters"]
        if "injected-parameters" in tags:
            cell.id = "injected-parameters"
            cell.metadata["tags"] = [*tags, *hiding]
        for noise in ("papermill", "execution"):
            cell.metadata.pop(noise, None)
        if not cell.metadata.get("tags"):
            cell.metadata.pop("tags", None)
        if cell.cell_type == "code":
            cell.outputs = [out for out in cell.outputs if not _is_progress(out)]
        cells += [cell, *_below_the_picture(cell)]
    page.cells = cells


def _is_progress(out: nbformat.NotebookNode) -> bool:
    return out.get("name") == "stderr" and "Warning" not in out.text


def _below_the_picture(cell: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    if "figure" not in cell.metadata.get("mystnb", {}):
        return []
    shown = [any(kind.startswith("image/") for kind in out.get("data", ())) for out in cell.outputs]
    others = [out for out, picture in zip(cell.outputs, shown, strict=True) if not picture]
    cell.outputs = [out for out, picture in zip(cell.outputs, shown, strict=True) if picture]
    return [
        nbformat.v4.new_code_cell(
            "# below the picture",  # pages leave out a cell without code, outputs and all
            id=f"{cell.id}-below",
            metadata={"tags": ["remove-input"]},
            execution_count=cell.execution_count,
            outputs=others,
        )
    ]


def _build(build: Path, preset: str) -> Path:
    """Gather all pages and build them."""
    pages = build / "book"
    shutil.rmtree(pages, ignore_errors=True)
    shutil.copytree(paths.root() / "book", pages)
    shutil.copytree(build / "executed", pages, dirs_exist_ok=True)
    fragments.write(pages)
    config = yaml.safe_load((paths.root() / "_config.yml").read_text())
    config["sphinx"]["config"]["autoapi_dirs"] = [str(paths.root() / "dclib")]
    config["html"]["announcement"] = BANNERS.get(preset, "")
    (build / "_config.yml").write_text(yaml.safe_dump(config, allow_unicode=True))
    return build_strictly(pages)


def build_strictly(pages: Path) -> Path:
    """Build the pages of a folder; its front page.

    Raises:
        RunError: a warning, or a page of the table of contents that was not built.
    """
    builder = str(Path(sys.executable).with_name("jupyter-book"))
    command = [builder, "build", "--all", "-n", "-W", "--keep-going", str(pages)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    log = pages.parent / "jupyter-book.log"
    log.write_text(done.stdout + done.stderr)
    if done.returncode:
        lines = done.stderr.splitlines()
        told = [line for line in lines if "WARNING" in line or "ERROR" in line] or lines[-10:]
        raise RunError("the book cannot be built strictly:\n" + "\n".join(told[:20]) + f"\n  {log}")
    built = pages.parent / "_build" / "html"
    missing = [name for name in contents(pages) if not (built / f"{name}.html").exists()]
    if missing:
        raise RunError(f"pages that were not built: {', '.join(missing)}; see {log}")
    return built / "index.html"


def contents(pages: Path) -> list[str]:
    """The pages that the table of contents names, in order."""

    def names(entries: list[dict[str, Any]]) -> Iterator[str]:
        for entry in entries:
            if "file" in entry:
                yield entry["file"]
            yield from names(entry.get("sections", []))

    toc = yaml.safe_load((pages / "_toc.yml").read_text())
    return [toc["root"], *(name for part in toc["parts"] for name in names(part["chapters"]))]
