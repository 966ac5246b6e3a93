"""What else the book can be: one PDF, an archive, notebooks in Colab."""

import re
import shutil
import subprocess
import tarfile
from types import SimpleNamespace

import pytest
import scripts
import yaml

from dclib import paths
from dclib.study.pages.report import build_strictly

ROOT = paths.root()


@pytest.fixture
def clone(tmp_path):
    """A repository with the Makefile and a builder of books that only says what it was told."""
    for name in ("Makefile", "CITATION.cff", ".gitignore"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("requirements.lock", "pyproject.toml"):
        (tmp_path / name).touch()
    tools = tmp_path / ".venv" / "bin"
    tools.mkdir(parents=True)
    builder = tools / "jupyter-book"
    builder.write_text(
        "#!/bin/sh\nmkdir -p _build/html _build/singlehtml\n"
        "echo front > _build/html/index.html\necho pages > _build/singlehtml/index.html\n"
    )
    (tools / "printer").write_text(
        '#!/bin/sh\nfor word; do case "$word" in\n'
        '--print-to-pdf=*) to="${word#*=}";; file://*) from="${word#file://}";; esac; done\n'
        'cp "$from" "$to"\n'
    )
    for tool in tools.iterdir():
        tool.chmod(0o755)
    (tmp_path / ".venv" / ".made-from-lock").touch()
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "all"]):
        subprocess.run([*git, *words], cwd=tmp_path, check=True)
    return tmp_path


def make(folder, *words):
    return subprocess.run(["make", *words], cwd=folder, capture_output=True, text=True)


def test_one_command_prints_the_book(clone):
    done = make(clone, "pdf", "CHROMIUM=.venv/bin/printer")
    assert done.returncode == 0, done.stderr
    assert (clone / "_build" / "dclib.pdf").read_text() == "pages\n"
    refused = make(clone, "pdf", "CHROMIUM=")
    assert refused.returncode != 0
    assert "there is no Chromium to print with" in refused.stderr


def test_one_command_makes_an_archive_of_what_is_committed_and_the_built_book(clone):
    (clone / "scratch.txt").write_text("not committed")
    done = make(clone, "bundle")
    assert done.returncode == 0, done.stderr
    with tarfile.open(clone / "_build" / "dclib.tar.gz") as packed:
        names = {name for name in packed.getnames() if packed.getmember(name).isfile()}
        front = packed.extractfile("dclib/built-book/index.html").read()
    assert {"dclib/CITATION.cff", "dclib/Makefile", "dclib/built-book/index.html"} <= names
    assert not any("scratch" in name or ".venv" in name for name in names)
    assert front == b"front\n"


def closing(url, path="04_2_mtfl.ipynb"):
    """What a page's body ends with, for the address of a repository."""
    colab = scripts.module("book/_ext/colab.py")
    theme = {"repository_url": url, "repository_branch": "main"}
    app = SimpleNamespace(
        config=SimpleNamespace(html_theme_options=theme),
        env=SimpleNamespace(doc2path=lambda page: path),
    )
    context = {"body": "", "pathto": lambda page: f"{page}.html"}
    colab.link(app, path.partition(".")[0], "page.html", context, None)
    return context["body"]


def test_notebooks_open_in_colab_once_the_repository_has_an_address():
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    if not config["repository"]["url"]:
        assert closing("") == ""
    line = closing("https://github.com/owner/name.git/")
    (at,) = re.findall(r'href="https://colab.research.google.com/github/([^"]+)"', line)
    assert at == "owner/name/blob/main/notebooks/04_2_mtfl.ipynb"
    assert (ROOT / at.partition("/main/")[2]).exists()
    assert "git+https://github.com/owner/name<" in line
    assert closing("https://github.com/owner/name", "data.md") == ""
    assert closing("https://example.org/owner/name") == ""


def test_a_book_without_an_address_has_no_link_outside_for_it(built_book):
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    linked = {p.name for p in built_book.glob("*.html") if "colab.research" in p.read_text()}
    notebooks = {f"{p.stem}.html" for p in (ROOT / "notebooks").glob("*.ipynb")}
    assert linked == (notebooks if config["repository"]["url"] else set())


def test_scripts_of_one_page_are_loaded_by_it_alone(tmp_path):
    """The network's weights are megabytes; jupyter-book puts every script on every page."""
    source = tmp_path / "book"
    (source / "_static" / "live").mkdir(parents=True)
    for name in ("live/net.js", "live/live.css", "table.js", "all.css"):
        (source / "_static" / name).write_text("")
    shutil.copytree(ROOT / "book" / "_ext", source / "_ext")
    (source / "_toc.yml").write_text(
        "format: jb-book\nroot: index\nparts:\n  - chapters:\n      - file: live\n"
    )
    (source / "index.md").write_text("# Front\n")
    use = '<script src="_static/live/net.js"></script>'
    (source / "live.md").write_text(f"# Live\n\n```{{raw}} html\n{use}\n```\n")
    config = {"extra_extensions": ["no_thebe"], "local_extensions": {"no_thebe": "book/_ext"}}
    told = {"title": "t", "only_build_toc_files": True, "sphinx": config}
    (tmp_path / "_config.yml").write_text(yaml.safe_dump(told))
    build_strictly(source)
    front, live = ((tmp_path / f"_build/html/{n}.html").read_text() for n in ("index", "live"))
    assert "all.css" in front
    for name in ("live/net.js", "live.css", "table.js"):
        assert name not in front
    assert live.count("live/net.js") == 1
