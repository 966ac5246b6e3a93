"""DCNet's difference to other methods over epochs and faces, and where the paper stands."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dclib.study import paper
from dclib.study.analysis.comparison import Comparison
from dclib.study.analysis.stats import DECODERS, Interval, side
from dclib.study.figures import GREY, WIDTH, plots
from dclib.study.figures.results import DECODER_NAMES
from dclib.study.figures.trend import METHOD, OTHERS, SHARES, settings
from dclib.study.verdicts.evidence import moves, word

EPOCHS, FACES = (10, 20, 40, 80, 160, 300), (500, 1000, 2000, 4000, 10_000)
EPOCHS_SHOWN, FACES_SHOWN = (7, 500), (330, 18_000)
PAPER = 300, 10_000  # epochs and faces of section 4.2
TEXT: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 5.5}
PRINTED: dict[str, Any] = TEXT | {"va": "top", "fontsize": 6.5}
LABEL: dict[str, Any] = TEXT | {"ha": "left"}
DISC: dict[str, Any] = {"s": 430, "cmap": plots.HARM, "edgecolors": GREY, "linewidths": 0.4}


def figure(groups: Sequence[Comparison]) -> Figure | None:
    """A row for each other method, a panel for each decoder; none where there is no run.

    A disc is coloured where both decoders agree on the side of zero; in it stand the difference and
    half of its interval. Dashed lines join settings of equal training, as a share of the paper's.

    Args:
        groups: the settings that a claim is about, that with the most training first. Those count
            that differ from it in faces and epochs alone.
    """
    found = differences(groups)
    if not found:
        return None
    limit = max(1.0, *(abs(gap.value) for own in found.values() for _, gap in own.values()))
    others = [other for other in OTHERS if other in {other for other, _ in found}]
    fig = Figure(figsize=(WIDTH, 2 * len(others) + 0.8), layout="constrained")
    grid = fig.subplots(len(others), len(DECODERS), sharex=True, sharey=True, squeeze=False)
    for ax, (other, decoder) in zip(grid.flat, product(others, DECODERS), strict=True):
        for (epochs, faces), (clear, gap) in found[other, decoder].items():
            ax.scatter(
                epochs, faces, c=[gap.value if clear else 0], vmin=-limit, vmax=limit, **DISC
            )
            told = f"{plots.signed(gap.value)}\n±{(gap.high - gap.low) / 2:.1f}"
            ax.annotate(told, (epochs, faces), color="black" if clear else plots.UNSURE, **TEXT)
        printed = paper.difference(METHOD, other, groups[0].about.underlying)
        _mark(ax, printed if decoder == "bin" else None)  # the paper has no other decoder
        if decoder == DECODERS[0]:
            ax.set_ylabel(f"{METHOD} − {other}")
        if other == others[0]:
            ax.set_title(DECODER_NAMES[decoder], fontsize="small")
    fig.supxlabel("epochs", fontsize="medium")
    fig.supylabel("training faces", fontsize="medium")
    plots.scale(fig, f"points; below 0 {METHOD} fails less often")
    return fig


def differences(
    groups: Sequence[Comparison],
) -> dict[tuple[str, str], dict[tuple[int, int], tuple[bool, Interval]]]:
    """By other method and decoder, and then by epochs and faces: whether both decoders agree, and
    DCNet's difference."""
    found: dict[tuple[str, str], dict[tuple[int, int], tuple[bool, Interval]]] = {}
    for other in OTHERS:
        for group in settings(groups, other):
            gaps = group.gaps(METHOD, other)
            for decoder, gap in gaps.items():
                own = found.setdefault((other, decoder), {})
                own.setdefault((group.about.epochs, group.faces), (side(gaps.values()) != 0, gap))
    return found


def trends(groups: Sequence[Comparison]) -> pd.DataFrame:
    """One row per other method: points of difference for each doubling of training, by decoder."""
    rows: list[dict[str, Any]] = []
    for other in OTHERS:
        if not (shown := settings(groups, other)):
            continue
        lengths, slopes = moves(groups, shown[0], (METHOD, other), "failure rate")
        row = {f"{METHOD} minus": other, "lengths": lengths} | plots.columns(slopes)
        rows.append(row | {"so far": word(slopes) if slopes else "–"})
    return plots.table(rows, f"{METHOD} minus")


def _mark(ax: Axes, printed: float | None) -> None:
    """Where the paper stands, lines of equal training, and the axes."""
    epochs, faces = PAPER
    for share in SHARES:
        equal = share * epochs * faces  # faces times epochs
        ax.plot([equal / f for f in FACES_SHOWN], FACES_SHOWN, "--", color=GREY, lw=0.6, zorder=0)
        end = min(0.85 * FACES_SHOWN[1], equal / EPOCHS_SHOWN[0])
        ax.annotate(f" {100 * share:g} %", (equal / end, end), color=GREY, **LABEL)
    ax.plot(epochs, faces, **plots.PRINTED)
    if printed is not None:
        ax.annotate(plots.signed(printed), PAPER, (0, -7), textcoords="offset points", **PRINTED)
    ax.set(xscale="log", yscale="log", xlim=EPOCHS_SHOWN, ylim=FACES_SHOWN)
    ax.set_xticks(EPOCHS, list(map(str, EPOCHS)))
    ax.set_yticks(FACES, [f"{f:,}" for f in FACES])
    ax.minorticks_off()
