"""The paper's figures and tables, as pure functions of records and of the code's own objects.

Each function returns a matplotlib Figure or a pandas DataFrame and neither shows nor saves it;
`dclib.study.pages.book.Page` does. Figures carry no title: their captions stand in the notebooks.
What they share, `plots` draws, and `results` names: order and looks of methods and decoders.
"""

import seaborn as sns

# Okabe and Ito's colours, which colour-blind readers can tell apart.
BLACK, GREY = "#000000", "#6b6b6b"
ORANGE, SKY, GREEN, BLUE, VERMILION, PURPLE = (
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
)
WIDTH = 7.0  # inches: about the 700 px of a page's column


def theme() -> None:
    """How all figures look: call it once, before any is drawn.

    The background is opaque and white, so that figures can also be read on dark pages.
    """
    sns.set_theme(
        context="paper",
        style="whitegrid",
        palette=[BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, BLACK],
        rc={
            "figure.facecolor": "white",
            "savefig.facecolor": "white",
            "axes.titlesize": "medium",
            "axes.titlelocation": "left",
            "grid.color": "#e6e6e6",
            "axes.edgecolor": "#b0b0b0",
        },
    )
