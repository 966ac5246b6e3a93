"""What notebooks show: figures, tables, and the line below them that says where they come from.

Every figure and table is also saved, under `DCLIB_OUTPUT`, for readers to take along.
"""

import html
import inspect
import io
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
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

if TYPE_CHECKING:
    from dclib.records.runs import Record

OUTPUT = "_static/output"  # where a book keeps its figures and tables, below its pages
FOR_DRAWINGS: dict[str, dict[str, Any]] = {
    "svg": {"metadata": {"Date": None}},
    "png": {"metadata": {"Software": None}},
}
FOR_PHOTOS: dict[str, dict[str, Any]] = {"jpg": {"pil_kwargs": {"quality": 92, "subsampling": 0}}}
SHORT = 12  # letters of words in a table that are not broken into lines

_saved: list[str] = []  # files since the last provenance line, which links them


def output() -> Path:
    """The folder of saved figures and tables (`DCLIB_OUTPUT`)."""
    folder = paths.output()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def refuse_unknown(namespace: Mapping[str, Any], known: Sequence[str] = ("preset",)) -> None:
    """Stop a notebook that was given a parameter it does not have; papermill itself only warns.

    Args:
        namespace: the notebook's `globals()`, before it has made names of its own.
        known: its parameters.

    Raises:
        RunError: names that are no parameters, or a preset that does not exist.
    """
    from dclib.study.plans.presets import PRESETS

    given = {name for name, value in namespace.items() if not isinstance(value, ModuleType)}
    own = {"In", "Out", "exit", "quit", "get_ipython", "open"}  # the kernel's
    unknown = sorted(name for name in given - own - set(known) if not name.startswith("_"))
    if unknown:
        raise RunError(
            f"no parameter {', '.join(map(repr, unknown))}; there are {', '.join(known)}"
        )
    if "preset" in known and namespace["preset"] not in PRESETS:
        raise RunError(f"preset {namespace['preset']!r} is unknown; choose from {list(PRESETS)}")


def photos_allowed() -> bool:
    """Whether a page may show pixels of real faces: not if it is to be published."""
    return os.environ.get("DCLIB_PUBLISH") != "1"


def _keep(name: str, suffix: str, content: bytes) -> None:
    if not re.fullmatch(r"[a-z0-9_]+", name):
        raise ValueError(f"name {name!r}: small letters, digits and underscores only")
    (output() / f"{name}.{suffix}").write_bytes(content)
    _saved.append(f"{name}.{suffix}")


def figure(fig: Figure, name: str) -> None:
    """Save a figure, and show it: as `name`.svg and `name`.png, or `name`.jpg if it shows photos.

    The same figure always gives the same bytes. The background is white and opaque, for dark pages.
    Caption, alternative text and number come from the cell's `mystnb` metadata.
    """
    fig.patch.set(facecolor="white", alpha=1)
    formats = FOR_PHOTOS if _shows_photos(fig) else FOR_DRAWINGS
    with mpl.rc_context({"svg.hashsalt": name}):
        for suffix, options in formats.items():
            buffer = io.BytesIO()
            fig.savefig(
                buffer, format=suffix, dpi=144, bbox_inches="tight", facecolor="auto", **options
            )
            _keep(name, suffix, buffer.getvalue())
    plt.close(fig)
    display(Image(data=buffer.getvalue(), format=suffix))


def _shows_photos(fig: Figure) -> bool:
    arrays = (image.get_array() for ax in fig.axes for image in ax.images)
    return any(array is not None and array.ndim == 3 for array in arrays)


def text(paragraphs: str) -> None:
    """Show Markdown, such as a sentence with the numbers of this run in it."""
    display(Markdown(paragraphs))


def source(part: Callable[..., Any]) -> None:
    """Show the code of a function, so that a page cannot differ from what runs."""
    text(f"```python\n{dedent(inspect.getsource(part))}```")


def table(frame: pd.DataFrame, name: str, digits: int = 2) -> None:
    """Save a table in full precision as `name`.csv, and show it with `digits` decimals.

    On the page a value and the ends of its interval, in columns `x`, `x low` and `x high`, share a
    cell; ends in columns named `low` and `high` belong to the column before them.
    """
    _keep(name, "csv", frame.to_csv(lineterminator="\n").encode())
    shown = frame
    if not isinstance(frame.index, pd.RangeIndex):
        shown = frame.rename_axis([label or "" for label in frame.index.names]).reset_index()
    shown = _with_intervals(shown)

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

    columns = shown.shape[1]
    page = _with_headings(shown).to_html(
        classes="dclib",
        border=0,
        index=False,
        escape=False,
        na_rep="–",
        formatters=[on_page] * columns,
    )
    plain = shown.to_string(index=False, na_rep="–", formatters=[cell] * columns)
    display({"text/html": page, "text/plain": plain}, raw=True)


def _with_intervals(frame: pd.DataFrame) -> pd.DataFrame:
    """The table with a value and the ends of its interval in one column; see `table`."""
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
    code = re.sub("`([^`]+)`", r"<code>\1</code>", html.escape(content))
    return f'<span class="{kinds}">{code}</span>'


def _with_headings(frame: pd.DataFrame) -> pd.DataFrame:
    """The table with its headings as HTML, those over words marked as words."""
    if frame.columns.nlevels > 1:
        return frame.rename(columns=lambda label: html.escape(str(label)))
    over_words = [any(isinstance(v, str) for v in column) for _, column in frame.items()]
    return frame.set_axis(
        [
            _words(str(label)) if words else html.escape(str(label))
            for label, words in zip(frame.columns, over_words, strict=True)
        ],
        axis="columns",
    )


def provenance(records: Sequence["Record"], command: str, data: str | None = None) -> None:
    """Show which data, preset, runs, device and commit are behind what stands above.

    Args:
        records: the runs; none where nothing was trained.
        command: what makes it again, from the top folder of the repository.
        data: what was looked at, where there are no runs to name it.
    """
    facts = _facts(records)
    if not records:
        facts = {"Data": data, "Runs": "none"} if data else {"Runs": "none, only code"}
    facts["Made by"] = command
    if _saved:
        facts["Files"] = ", ".join(dict.fromkeys(_saved))
        _saved.clear()
    plain = " · ".join(f"{label}: {value}" for label, value in facts.items())
    display({"text/html": _as_html(facts), "text/plain": plain}, raw=True)


def _facts(records: Sequence["Record"]) -> dict[str, str]:
    def each(values: Sequence[str]) -> str:
        return ", ".join(dict.fromkeys(values))

    where = [record.environment for record in records]
    return {
        "Data": each(
            [f"{r.experiment.dataset} ({r.experiment.fingerprint[:12]})" for r in records]
        ),
        "Preset": each([r.experiment.preset for r in records]),
        "Runs": f"{len(records)}: " + each([r.id for r in records]),
        "Device": each([str(w["device"]) for w in where]),
        "Commit": each(
            [f"{str(w['commit'])[:10]}{'' if w['clean'] else ' with changes'}" for w in where]
        ),
    }


def _as_html(facts: dict[str, str]) -> str:
    parts = []
    for label, value in facts.items():
        shown = html.escape(value)
        if label == "Made by":
            shown = f"<code>{shown}</code>"
        if label == "Files":
            links = (f'<a href="{OUTPUT}/{name}">{name}</a>' for name in value.split(", "))
            shown = ", ".join(links)
        if label == "Runs" and len(value) > 80:
            count, _, ids = shown.partition(": ")
            shown = f"<details><summary>{count}</summary>{ids}</details>"
        parts.append(f"<span><b>{label}</b> {shown}</span>")
    return f'<div class="provenance">{" ".join(parts)}</div>'
