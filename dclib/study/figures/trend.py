"""How DCNet's difference to other methods moves with training: with faces and with epochs."""

from collections.abc import Sequence
from itertools import product

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from dclib.records.runs import Record
from dclib.study import paper
from dclib.study.analysis.comparison import Comparison
from dclib.study.analysis.stats import DECODERS
from dclib.study.figures import plots
from dclib.study.figures.results import DECODER_NAMES
from dclib.study.verdicts.evidence import alike, best

METHOD, OTHERS = "DCNet", ("RNx", "XS", "RN", "RN-S")
SHARES = (0.01, 0.1, 1)  # of the paper's training, marked below the panels


def figure(groups: Sequence[Comparison]) -> Figure | None:
    """A panel for each other method, a row for each decoder; none where there is no run.

    Args:
        groups: the settings that a claim is about, that with the most training first. Those count
            that differ from it in faces and epochs alone.
    """
    rows, faces = [], set()
    for decoder, other in product(DECODERS, OTHERS):
        pair, panel = (METHOD, other), f"{METHOD} − {other}"
        shown = settings(groups, other)
        for group in shown:
            gap, at = group.difference(*pair, decoder=decoder), float(np.log2(group.training))
            rows.append(plots.entry(gap, _named(group.faces), at, panel, decoder))
            faces.add(group.faces)
        if shown and decoder == "bin":  # the paper has no other
            told = paper.difference(*pair, shown[0].about.underlying)
            rows.append(plots.entry(None, "", 0.0, panel, decoder, printed=told))
    if not faces:
        return None
    shades = colormaps["viridis"](np.linspace(0.85, 0, len(faces)))
    looks = {
        _named(count): {"color": tuple(shade), "linestyle": "-", "linewidth": 1}
        for count, shade in zip(sorted(faces), shades, strict=True)
    }
    x = "training: faces × epochs, as a share of the paper's"
    fig = plots.intervals(rows, looks, 5.4, x=x, up=True, step=0.16, zero=True)
    panels = list(dict.fromkeys(row["panel"] for row in rows))
    for ax, (decoder, panel) in zip(fig.axes, product(DECODERS, panels), strict=True):
        ax.set_xticks(np.log2(SHARES), [f"{100 * share:g} %" for share in SHARES])
        ax.set_xlim(np.log2(0.005), 0.6)
        ax.set_ylabel(f"points\n{DECODER_NAMES[decoder]}" if panel == panels[0] else "")
    return fig


def settings(groups: Sequence[Comparison], other: str) -> list[Comparison]:
    """Of these settings, the most training first: the first with both methods, and those that
    differ from it in faces and epochs alone."""
    pair = METHOD, other
    chosen = best(groups, pair)
    return alike(groups, chosen, pair) if chosen else []


def records(groups: Sequence[Comparison]) -> list[Record]:
    """The runs that the figure of these settings shows, each once."""
    found = {
        record.id: record
        for other in OTHERS
        for group in settings(groups, other)
        for method in (METHOD, other)
        for record in group.tries[method]
    }
    return list(found.values())


def _named(faces: int) -> str:
    return f"{faces:,} faces"
