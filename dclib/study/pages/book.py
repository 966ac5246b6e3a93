"""What notebooks show: figures, tables and text, and below each, folded, where it comes from.

A notebook opens one `Page`. Every figure and table is also saved, under `DCLIB_OUTPUT`, for readers
to take along.
"""

import html
import inspect
import io
import os
import re
from collections.abc import Callable, Mapping, Sequence
from textwrap import dedent
from types import ModuleType
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import pandas as pd
from IPython.display import Image, Markdown, display
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from dclib import paths
from dclib.errors import RunError
from dclib.study.analysis.stats import Interval
from dclib.study.figures import theme
from dclib.study.plans.presets import PRESETS

if TYPE_CHECKING:
    from dclib.records.runs import Record

OUTPUT = "_static/output"  # where a book keeps its figures and tables, below its pages
FOR_DRAWINGS: dict[str, dict[str, Any]] = {
    "svg": {"metadata": {"Date": None}},
    "png": {"metadata": {"Software": None}},
}
FOR_PHOTOS: dict[str, dict[str, Any]] = {"jpg": {"pil_kwargs": {"quality": 92, "subsampling": 0}}}
SHORT = 12  # letters of words in a table that are not broken into lines


class Page:
    """The page of a notebook, opened once, before the notebook has made names of its own.

    Below a figure or table stands what is behind it: data, preset, runs, device, commit, and the
    command that makes it again. Where a call names no `records`, `data` or `command` of its own,
    they are those of the page, which a notebook may set. Where there is nothing to show, that
    command is shown instead.

    Args:
        name: the notebook's, without a suffix.
        namespace: its `globals()`, which hold its parameter, the preset.

    Attributes:
        records: the runs behind what is shown; none where nothing was trained.
        data: what was looked at, where there are no runs to name it.
        command: what makes the page again, from the top folder of the repository.

    Raises:
        RunError: a parameter that a notebook does not have, of which papermill only warns, or a
            preset that does not exist.
    """

    def __init__(self, name: str, namespace: Mapping[str, Any]) -> None:
        self.name = name
        self.records: Sequence[Record] = ()
        self.data: str | None = None
        self.command = f"python -m dclib report --preset {_only_parameter(namespace)} {name}"
        theme()

    def figure(
        self,
        fig: Figure | None,
        name: str,
        records: Sequence["Record"] | None = None,
        **behind: str | None,
    ) -> None:
        """Save a figure, and show it: as `name`.svg and `name`.png, or `name`.jpg if of photos.

        The page shows the first of them, so drawings stay sharp when a reader zooms in. The same
        figure always gives the same bytes. The background is white and opaque, for dark pages.
        Caption and alternative text come from the cell's `mystnb` metadata.
        """
        if fig is None:
            self.not_run(behind.get("command"))
            return
        fig.patch.set(facecolor="white", alpha=1)
        formats = FOR_PHOTOS if _shows_photos(fig) else FOR_DRAWINGS
        made = {}
        with mpl.rc_context({"svg.hashsalt": name}):
            for suffix, options in formats.items():
                buffer = io.BytesIO()
                fig.savefig(
                    buffer, format=suffix, dpi=144, bbox_inches="tight", facecolor="auto", **options
                )
                made[suffix] = buffer.getvalue()
                _keep(f"{name}.{suffix}", made[suffix])
        plt.close(fig)
        if "svg" in made:
            display({"image/svg+xml": made["svg"].decode(), "text/plain": name}, raw=True)
        else:
            display(Image(data=made["jpg"], format="jpg"))
        self._say_where_from([f"{name}.{suffix}" for suffix in formats], records, **behind)

    def table(
        self,
        frame: pd.DataFrame | None,
        name: str,
        records: Sequence["Record"] | None = None,
        digits: int = 2,
        missing: str | None = None,
        shown: str | None = None,
        **behind: str | None,
    ) -> None:
        """Save a table in full precision as `name`.csv, and show it with `digits` decimals.

        On the page a value and the ends of its interval, in columns `x`, `x low` and `x high`,
        share a cell; ends in columns named `low` and `high` belong to the column before them.
        In place of a table without rows stands `missing`, if it is given; and of one with rows the
        HTML of `shown`, which is the caller's to escape.
        """
        if frame is None or frame.empty:
            self.text(missing) if missing else self.not_run(behind.get("command"))
            return
        _keep(f"{name}.csv", frame.to_csv(lineterminator="\n").encode())
        display({"text/html": shown} if shown else _as_table(frame, digits), raw=True)
        self._say_where_from([f"{name}.csv"], records, **behind)

    def text(self, paragraphs: str) -> None:
        """Show Markdown, such as a sentence with the numbers of this run in it."""
        display(Markdown(paragraphs))

    def not_run(self, command: str | None = None) -> None:
        """Name the command that makes what is missing."""
        self.text(f"Not run: `{command or self.command}`.")

    def code(self, part: Callable[..., Any]) -> None:
        """Show the code of a function, so that a page cannot differ from what runs."""
        self.text(f"```python\n{dedent(inspect.getsource(part))}```")

    def _say_where_from(
        self,
        files: Sequence[str],
        records: Sequence["Record"] | None,
        data: str | None = None,
        command: str | None = None,
    ) -> None:
        if records is None:
            records = () if data else self.records
        data = data or self.data
        facts = {"Data": data, "Runs": "none"} if data else {"Runs": "none, only code"}
        facts = _facts(records) if records else facts
        facts |= {"Made by": command or self.command, "Files": ", ".join(files)}
        plain = " · ".join(f"{label}: {value}" for label, value in facts.items())
        display({"text/html": _as_html(facts, self.name), "text/plain": plain}, raw=True)


def _only_parameter(namespace: Mapping[str, Any]) -> str:
    """The preset; modules, classes and functions are what the notebook has imported."""
    given = {n for n, v in namespace.items() if not (isinstance(v, ModuleType) or callable(v))}
    unknown = sorted(n for n in given - {"In", "Out", "preset"} if not n.startswith("_"))
    if unknown:
        raise RunError(f"no parameter {', '.join(map(repr, unknown))}; there is preset")
    if namespace["preset"] not in PRESETS:
        raise RunError(f"preset {namespace['preset']!r} is unknown; choose from {list(PRESETS)}")
    return str(namespace["preset"])


def photos_allowed() -> bool:
    """Whether a page may show pixels of real faces: not if it is to be published."""
    return os.environ.get("DCLIB_PUBLISH") != "1"


def _keep(file: str, content: bytes) -> None:
    if not re.fullmatch(r"[a-z0-9_]+\.\w+", file):
        raise ValueError(f"file {file!r}: small letters, digits and underscores only")
    paths.output().mkdir(parents=True, exist_ok=True)
    (paths.output() / file).write_bytes(content)


def _shows_photos(fig: Figure) -> bool:
    arrays = (image.get_array() for ax in fig.axes for image in ax.images)
    return any(array is not None and array.ndim == 3 for array in arrays)


def _as_table(frame: pd.DataFrame, digits: int) -> dict[str, str]:
    """A table as a page and as a terminal show it."""
    if not isinstance(frame.index, pd.RangeIndex):
        frame = frame.rename_axis([label or "" for label in frame.index.names]).reset_index()
    frame = _with_intervals(frame)

    def cell(value: Any) -> str:
        if isinstance(value, Interval):
            return f"{cell(value.value)} ({cell(value.low)} to {cell(value.high)})"
        if pd.api.types.is_float(value):
            return f"{value:,.{digits}f}"
        if value is None:
            return "–"
        return f"{value:,}" if pd.api.types.is_integer(value) else str(value)

    def on_page(value: Any) -> str:
        if isinstance(value, Interval):
            middle, _, ends = cell(value).partition(" ")
            return f'{middle} <span class="short">{ends}</span>'
        return _words(value) if isinstance(value, str) else cell(value)

    shared: dict[str, Any] = {"index": False, "na_rep": "–"}
    columns = frame.shape[1]
    return {
        "text/html": _with_headings(frame).to_html(
            classes="dclib", border=0, escape=False, formatters=[on_page] * columns, **shared
        ),
        "text/plain": frame.to_string(formatters=[cell] * columns, **shared),
    }


def _with_intervals(frame: pd.DataFrame) -> pd.DataFrame:
    """The table with a value and the ends of its interval in one column; see `Page.table`."""
    ends: dict[Any, dict[str, Any]] = {}  # labels of "low" and "high" by that of the value
    before = None
    for label in frame.columns:
        *above, last = label if isinstance(label, tuple) else (label,)
        found = re.fullmatch(r"(?:(.+) )?(low|high)", str(last))
        if found is None:
            before = label
            continue
        name, end = found.groups()
        owner = before if name is None else (*above, name) if above else name
        ends.setdefault(owner, {})[end] = label
    for owner, both in ends.items():
        if owner in frame.columns and len(both) == 2:
            rows = zip(frame[owner], frame[both["low"]], frame[both["high"]], strict=True)
            merged = [Interval(*row) if pd.notna(row[1]) else row[0] for row in rows]
            frame = frame.drop(columns=list(both.values()))
            frame[owner] = pd.Series(merged, index=frame.index, dtype=object)
    return frame


def _words(content: str) -> str:
    """Words as HTML: `code` as in Markdown; what is short stays on one line."""
    kinds = "words short" if len(content) <= SHORT else "words"
    code = re.sub("`([^`]+)`", lambda found: _code(found[1]), html.escape(content))
    return f'<span class="{kinds}">{code}</span>'


def _code(escaped: str) -> str:
    """Code of which no word is broken, as a browser does behind a hyphen."""
    words = (f'<span class="pre">{word}</span>' for word in escaped.split())
    return f"<code>{' '.join(words)}</code>"


def _with_headings(frame: pd.DataFrame) -> pd.DataFrame:
    """The table with its headings as HTML, those over words marked as words."""
    if frame.columns.nlevels > 1:
        return frame.rename(columns=lambda label: html.escape(str(label)))
    headings = [
        _words(str(label)) if any(isinstance(v, str) for v in column) else html.escape(str(label))
        for label, column in frame.items()
    ]
    return frame.set_axis(headings, axis="columns")


def _facts(records: Sequence["Record"]) -> dict[str, str]:
    """Which data, preset, runs, devices and commits records stand on."""

    def each(values: Sequence[str]) -> str:
        return ", ".join(dict.fromkeys(values))

    made = [record.experiment for record in records]
    where = [record.environment for record in records]
    return {
        "Data": each([f"{e.dataset} ({e.fingerprint[:12]})" for e in made]),
        "Preset": each([e.preset for e in made]),
        "Runs": f"{len(records)}: " + each([record.id for record in records]),
        "Device": each([str(w["device"]) for w in where]),
        "Commit": each(
            [f"{str(w['commit'])[:10]}{'' if w['clean'] else ' with changes'}" for w in where]
        ),
    }


def _as_html(facts: Mapping[str, str], page: str) -> str:
    """The facts, folded, with links to the files and to the notebook as the book shows it."""
    lines = []
    for label, value in facts.items():
        shown = html.escape(value)
        if label == "Made by":
            shown = _code(shown)
        if label == "Files":
            shown = ", ".join(f'<a href="{OUTPUT}/{f}">{f}</a>' for f in value.split(", "))
        lines.append(f"<li><b>{label}</b> {shown}</li>")
    lines.append(f'<li><b>Code</b> <a href="_sources/{page}.ipynb">{page}.ipynb</a></li>')
    summary = "<summary>Source</summary>"
    return f'<details class="provenance">{summary}<ul>{"".join(lines)}</ul></details>'
