"""Section 4.4: Fig. 6 and what belongs to it, drawn from evaluations of ablated networks."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from dclib.study import paper
from dclib.study.analysis.ablation import CONTENTS, Ablation, accuracy_changes, effects
from dclib.study.analysis.stats import DECODERS, Interval
from dclib.study.figures import BLACK, BLUE, GREY, VERMILION, WIDTH

Cell = tuple[str, int]  # task and block; blocks count from 1, as in the paper
CONTENT_NAMES = {"zeros": "zeros, as in the paper", "other face": "another face's features"}
HARM = LinearSegmentedColormap.from_list("harm", [BLUE, "white", VERMILION])


def fig6(ablations: Sequence[Ablation], beside: bool = False) -> Figure:
    """Fig. 6: a map of tasks (rows) and blocks (columns), coloured by relative change of failures.

    One map for each content and decoder, all on one scale. Cells whose interval holds zero are
    written in grey.

    Args:
        ablations: of the tries of one experiment.
        beside: also write the paper's numbers, into the first map: where it is the same experiment.
    """
    first = ablations[0]
    values = {(c, d): effects(ablations, c, d) for d in DECODERS for c in CONTENTS}
    limit = max(abs(i.value) for cells in values.values() for row in cells for i in row) or 1.0
    fig = Figure(figsize=(WIDTH, 0.66 * len(first.tasks) + 1.3), layout="constrained")
    panels = fig.subplots(len(DECODERS), len(CONTENTS), sharex=True, sharey=True)
    shown = printed() if beside else {}
    for ax, ((content, decoder), cells) in zip(panels.flat, values.items(), strict=True):
        of_paper = shown if (content, decoder) == ("zeros", "bin") else {}
        draw_map(ax, first, cells, limit, of_paper)
        ax.set_title(f"{CONTENT_NAMES[content]}; {decoder}", fontsize="small")
    for ax in panels[-1]:
        ax.set_xlabel("block, from input to output")
    scale = fig.colorbar(panels.flat[0].collections[0], ax=panels, aspect=30, pad=0.01)
    scale.set_label("change of failure rate (%)")
    scale.outline.set_visible(False)
    return fig


def printed() -> dict[Cell, float]:
    """What the paper prints of Fig. 6: relative changes in %, here positive where worse."""
    rows = paper.reported("fig6")
    found = {}
    for condition, value in zip(rows["condition"], rows["value"], strict=True):
        _, task, _, _, _, block = condition.split()  # zero TASK features at block N
        found[{"landmark": "landmarks"}.get(task, task), int(block)] = -float(value)
    return found


def draw_map(
    ax: Axes,
    about: Ablation,
    cells: Sequence[Sequence[Interval]],
    limit: float,
    of_paper: dict[Cell, float],
    digits: int = 1,
    size: float = 7.0,
) -> None:
    """One map, with its numbers, on a scale from -limit to limit; grey where intervals hold zero.

    Args:
        about: whose tasks and blocks it has.
        cells: by task and block.
        of_paper: what else to write into some cells.
        digits: of the numbers.
        size: of their letters.
    """
    values = np.array([[cell.value for cell in row] for row in cells])
    ax.pcolormesh(values, cmap=HARM, vmin=-limit, vmax=limit, edgecolors="white", linewidth=1.5)
    for t, row in enumerate(cells):
        for d, cell in enumerate(row):
            told = of_paper.get((about.tasks[t], d + 1))
            at = 0.5 if told is None else 0.32
            colour = GREY if cell.low <= 0 <= cell.high else BLACK
            text = _signed(cell.value, digits)
            ax.text(d + 0.5, t + at, text, color=colour, ha="center", va="center", fontsize=size)
            if told is not None:
                beside = f"◇ {_signed(told, 1)}"
                ax.text(d + 0.5, t + 0.75, beside, ha="center", va="center", fontsize=size - 1)
    ax.set_xticks(np.arange(about.blocks) + 0.5, [str(d + 1) for d in range(about.blocks)])
    ax.set_yticks(np.arange(len(about.tasks)) + 0.5, about.tasks)
    ax.set_ylim(len(about.tasks), 0)
    ax.tick_params(length=0)
    ax.grid(visible=False)
    for side in ax.spines.values():
        side.set_visible(False)


def _signed(value: float, digits: int) -> str:
    return f"{value:+.{digits}f}".replace("-", "−") if round(value, digits) else "0"


LOOKS = {"zeros": (VERMILION, "o", -0.14), "other face": (BLUE, "s", 0.14)}  # as for decoders


def tries(ablations: Sequence[Ablation], decoder: str = "bin") -> Figure:
    """The same changes with their intervals and every try: a panel for each task."""
    first = ablations[0]
    fig = Figure(figsize=(WIDTH, 2.9), layout="constrained")
    panels = np.ravel(fig.subplots(1, len(first.tasks), sharey=True))
    for content, (colour, marker, offset) in LOOKS.items():
        cells = effects(ablations, content, decoder)
        each = [effects_of_one(a, content, decoder) for a in ablations]  # (T, D) each
        for t, ax in enumerate(panels):
            for d, cell in enumerate(cells[t]):
                at = d + 1 + offset
                ax.plot([at, at], [cell.low, cell.high], color=colour, linewidth=3, alpha=0.35)
                own = [values[t, d] for values in each]
                ax.plot([at] * len(own), own, "_", color=colour, markersize=6, markeredgewidth=1.0)
                ax.plot(at, cell.value, marker, color=colour, markersize=4, zorder=3)
    for ax, task in zip(panels, first.tasks, strict=True):
        ax.axhline(0, color=BLACK, linewidth=0.8)
        ax.set_title(task, fontsize="small")
        ax.set_xticks(range(1, first.blocks + 1))
        ax.grid(axis="x", visible=False)
    fig.supxlabel("block whose central aggregation loses the task's features", fontsize="small")
    panels[0].set_ylabel("change of failure rate (%)")
    panels[0].yaxis.set_major_locator(MaxNLocator(6))
    marks = [
        Line2D([], [], color=colour, marker=marker, markersize=4, label=CONTENT_NAMES[content])
        for content, (colour, marker, _) in LOOKS.items()
    ]
    marks.append(Line2D([], [], color=GREY, marker="_", linestyle="", label="one try"))
    fig.legend(handles=marks, loc="outside upper center", ncols=3, frameon=False)
    return fig


def effects_of_one(ablation: Ablation, content: str, decoder: str) -> np.ndarray:
    """Relative change of the failure rate of one try, in %, of each cell (T, D)."""
    before = ablation.intact[decoder].mean()
    return np.asarray(100 * (ablation.failed[content][decoder].mean(axis=-1) / before - 1))


def accuracy(ablations: Sequence[Ablation]) -> Figure:
    """What the same ablations do to the related tasks: change of each one's accuracy, in points."""
    first = ablations[0]
    labels = list(first.known)
    maps = {(c, n): accuracy_changes(ablations, n, c) for c in CONTENTS for n in labels}
    limit = max(abs(i.value) for cells in maps.values() for row in cells for i in row) or 1.0
    fig = Figure(figsize=(WIDTH, 0.5 * len(first.tasks) + 1.5), layout="constrained")
    panels = fig.subplots(len(CONTENTS), len(labels), sharex=True, sharey=True, squeeze=False)
    for row, content in zip(panels, CONTENTS, strict=True):
        for ax, label in zip(row, labels, strict=True):
            harm = [[Interval(-i.value, -i.high, -i.low) for i in r] for r in maps[content, label]]
            draw_map(ax, first, harm, limit, {}, size=5.5)
            for text in ax.texts:  # colours say harm, numbers what became of the accuracy
                text.set_text(text.get_text().translate(str.maketrans("+−", "−+")))
        row[0].set_ylabel(CONTENT_NAMES[content], fontsize="small")
    for ax in panels.flat:
        ax.tick_params(labelsize="x-small")
    for ax, label in zip(panels[0], labels, strict=True):
        ax.set_title(f"accuracy of {label}", fontsize="small")
    fig.supxlabel("block, from input to output", fontsize="small")
    return fig


# Tables


def cells(ablations: Sequence[Ablation], content: str = "zeros") -> pd.DataFrame:
    """One row per task and block: relative change in %, by decoder with interval, and each try."""
    first = ablations[0]
    maps = {decoder: effects(ablations, content, decoder) for decoder in DECODERS}
    each = [effects_of_one(a, content, "bin") for a in ablations]
    rows = []
    for t, task in enumerate(first.tasks):
        for d in range(first.blocks):
            row: dict[str, str | int | float] = {"task": task, "block": d + 1}
            for decoder in DECODERS:
                cell = maps[decoder][t][d]
                row |= {decoder: cell.value, f"{decoder} low": cell.low}
                row |= {f"{decoder} high": cell.high}
            row |= {f"try {k}": values[t, d] for k, values in enumerate(each)}
            rows.append(row)
    return pd.DataFrame(rows).set_index(["task", "block"])


def beside_paper(ablations: Sequence[Ablation]) -> pd.DataFrame:
    """One row per cell that the paper prints: its number and ours, in %, positive where worse.

    The rank is that of the cell among all, from the largest increase, under the paper's decoder.
    """
    first = ablations[0]
    maps = {(c, d): effects(ablations, c, d) for c in CONTENTS for d in DECODERS}
    values = np.array([[cell.value for cell in row] for row in maps["zeros", "bin"]])
    rows = []
    for (task, block), value in printed().items():
        t, d = first.tasks.index(task), block - 1
        row: dict[str, str | float] = {"removed": f"{task}, block {block}", "paper": value}
        for (content, decoder), of in maps.items():
            cell, name = of[t][d], f"{content}, {decoder}"
            row |= {name: cell.value, f"{name} low": cell.low, f"{name} high": cell.high}
        row["rank"] = f"{1 + (values > values[t, d]).sum()} of {values.size}"
        rows.append(row)
    return pd.DataFrame(rows).set_index("removed")


def accuracies(ablations: Sequence[Ablation], content: str = "zeros") -> pd.DataFrame:
    """One row per task and block: change of each label's accuracy in points, with its interval."""
    first = ablations[0]
    maps = {label: accuracy_changes(ablations, label, content) for label in first.known}
    rows = [
        {"task": task, "block": d + 1}
        | {
            label: f"{of[t][d].value:+.1f} ({of[t][d].low:+.1f} to {of[t][d].high:+.1f})"
            for label, of in maps.items()
        }
        for t, task in enumerate(first.tasks)
        for d in range(first.blocks)
    ]
    return pd.DataFrame(rows).set_index(["task", "block"])
