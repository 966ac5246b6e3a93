"""Pages of notebooks end with a link to Colab, once `repository: url` in _config.yml is set."""

from html import escape
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

COLAB = "https://colab.research.google.com/github"
LINE = """
<p class="colab"><a href="{colab}/{name}/blob/{branch}/notebooks/{page}.ipynb">Open this page's
notebook in Colab</a>. Run <code>%pip install git+{url}</code> there first. Synthetic faces are
drawn on the spot; real ones are not public: see <a href="{data}">Data</a>.</p>
"""


def link(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    theme = app.config.html_theme_options
    url = str(theme.get("repository_url") or "").rstrip("/").removesuffix(".git")
    if url.startswith("https://github.com/") and Path(app.env.doc2path(page)).suffix == ".ipynb":
        context["body"] += LINE.format(
            colab=COLAB,
            name=escape(url.removeprefix("https://github.com/")),
            branch=escape(theme.get("repository_branch") or "main"),
            url=escape(url),
            data=context["pathto"]("data"),
            page=page,
        )


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("html-page-context", link)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
