"""What Fig. 6 and its words show, read back and compared with evaluations made up by hand."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from drawn import names, texts, titles
from fake_records import EXPERIMENT
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from dclib.study import figures
from dclib.study.analysis.ablation import Ablation, accuracy_changes
from dclib.study.figures import ablation as maps
from dclib.study.figures import plots

TASKS = ("landmarks", "gender", "smile", "glasses", "profile")
FACES = 1000
INTACT = 200  # faces that fail


def fails(count):
    return np.arange(FACES) < count


def made_up(zeros, other=None, run="a"):
    """An evaluation where cells (task, block) fail on given numbers of faces, others as intact."""
    failed, turned, accuracy = {}, {}, {}
    for content, cells in {"zeros": zeros, "other face": other or {}}.items():
        counts = np.full((5, 5), INTACT)
        for (task, block), count in cells.items():
            counts[TASKS.index(task), block - 1] = count
        bits = np.array([[fails(count) for count in row] for row in counts])
        failed[content] = {"bin": bits, "soft": bits}
        turned[content] = {name: np.zeros((5, 5, 2), dtype=int) for name in TASKS[1:]}
        accuracy[content] = {name: np.full((5, 5), 0.9) for name in TASKS[1:]}
    turned["zeros"]["smile"][4, 4] = 50, 10  # of 500
    intact = {"bin": fails(INTACT), "soft": fails(INTACT)}
    return Ablation(
        run,
        TASKS,
        5,
        intact,
        failed,
        accuracy=accuracy,
        turned=turned,
        known=dict.fromkeys(TASKS[1:], 500),
        environment={"commit": "0" * 40, "clean": False, "processor": "a processor"},
    )


ZEROS = {("profile", 5): 360, ("landmarks", 2): 300, ("gender", 1): 201, ("smile", 3): 120}
OTHER = {("profile", 5): 350, ("glasses", 4): 260}


@pytest.fixture(scope="module")
def ablations():
    more = ZEROS | {("profile", 5): 380}
    return [made_up(ZEROS, OTHER), made_up(more, OTHER, "b")]


class TestFig6:
    def test_each_cell_holds_its_change(self, ablations):
        fig = maps.fig6(ablations)
        zeros, other = fig.axes[:2]
        told = texts(zeros)
        assert len({tuple(map(int, t.get_position())) for t in zeros.texts}) == len(told) == 25
        # (360 + 380) / 2 of 200: 1.85; 300: 1.5; 201: 1.005; 120: 0.6
        assert told[24] == "+85.0"
        assert told[1] == "+50.0"
        assert told[5] == "+0.5"
        assert told[12] == "−40.0"
        assert told.count("0") == 21
        assert texts(other)[24] == "+75.0"

    def test_the_maps_share_one_scale_around_zero(self, ablations):
        meshes = [ax.collections[0] for ax in maps.fig6(ablations).axes[:4]]
        for mesh in meshes:
            assert mesh.get_clim() == pytest.approx((-85, 85))
        colours = meshes[0].to_rgba(np.array([85.0, 0.0, -85.0]))
        assert colours[1][:3] == pytest.approx(1.0, abs=0.01)  # white
        assert colours[0][0] > colours[0][2]  # orange
        assert colours[2][2] > colours[2][0]  # blue

    def test_grey_where_the_interval_holds_zero(self, ablations):
        cells = maps.fig6(ablations).axes[0].texts
        grey = [k for k, t in enumerate(cells) if t.get_color() == plots.UNSURE]
        # one face in 200 more need not be more; 160 more are
        assert sorted(set(range(25)) - set(grey)) == [1, 12, 24]

    def test_the_papers_numbers_only_where_asked_for_and_in_one_map(self, ablations):
        fig = maps.fig6(ablations, beside=True)
        marked = [[told for told in texts(ax) if "◇" in told] for ax in fig.axes[:4]]
        assert marked == [["◇ +29.7", "◇ +47.0", "◇ +83.9"], [], [], []]
        assert not any("◇" in told for told in texts(maps.fig6(ablations).axes[0]))

    def test_rows_are_tasks_main_one_on_top(self, ablations):
        ax = maps.fig6(ablations).axes[0]
        assert names(ax.get_yticklabels()) == list(TASKS)
        assert ax.get_ylim() == (5, 0)


def test_tries_are_all_shown(ablations):
    fig = maps.tries(ablations)
    assert titles(fig) == list(TASKS)
    ticks = [line for line in fig.axes[4].lines if line.get_marker() == "_"]
    assert len(ticks) == 2 * 5  # contents and blocks
    assert ticks[4].get_ydata() == pytest.approx([80, 90])


def test_accuracy_falls_where_faces_turn_wrong(ablations):
    ax = maps.accuracy(ablations).axes[2]  # two a row
    assert ax.get_ylabel() == "smile"
    assert ax.texts[24].get_text() == "−8.0"  # 40 of 500
    assert ax.texts[24].get_color() == figures.BLACK
    assert ax.collections[0].get_array().ravel()[24] == pytest.approx(8)  # harm, so orange


class TestTables:
    def test_cells(self, ablations):
        table = maps.cells(ablations)
        assert len(table) == 25
        row = table.loc[("profile", 5)]
        assert (row["bin"], row["try 0"], row["try 1"]) == pytest.approx((85, 80, 90))
        assert row["bin low"] < 85 < row["bin high"]

    def test_beside_the_paper(self, ablations):
        table = maps.beside_paper(ablations)
        assert table["paper"].to_dict() == {
            "landmarks, block 3": 29.72,
            "landmarks, block 2": 47.0,
            "profile, block 5": 83.87,
        }
        assert table["zeros, bin"].tolist() == pytest.approx([0, 50, 85])
        assert table["other face, soft"].tolist() == pytest.approx([0, 0, 75])
        assert table["rank"].tolist() == ["4 of 25", "2 of 25", "1 of 25"]

    def test_accuracies(self, ablations):
        table = maps.accuracies(ablations)
        # p = (50 + 10) / 500, difference -0.08: 1.96 sqrt((0.12 - 0.0064) / 500) = 0.0295
        assert table.loc[("profile", 5), "smile"] == "-8.0 (-11.0 to -5.0)"
        assert table.loc[("profile", 5), "gender"] == "+0.0 (+0.0 to +0.0)"
        assert isinstance(table, pd.DataFrame)


def test_tries_that_differ_widen_what_is_said_of_accuracies(ablations):
    calm = made_up({}, run="b")
    calm.turned["zeros"]["smile"][4, 4] = 20, 10  # a loss of 2 points; 8 in the other try
    cell = accuracy_changes([ablations[0], calm], "smile")[4][4]
    # shares: -0.08 and -0.02, s^2 / 2 = 0.0009; faces: (0.09 - 0.05^2) / 500 = 0.000175
    assert cell.value == pytest.approx(-5)
    assert cell.high - cell.value == pytest.approx(196 * np.sqrt(0.0009 + 0.000175))


class TestWords:
    def test_cells_that_both_hurt_and_the_largest(self, ablations):
        text = maps.words(ablations, EXPERIMENT)
        assert text.startswith("**MTFL, preset `cpu`, 2 tries.**")
        assert "in 2 of 25 cells and lower it in 1; another face's features raise it in 2" in text
        assert "Both raise it at profile 5. Zeros raise it most at profile 5: +85.0 % (" in text
        assert text.endswith("In the paper that is profile 5.")

    def test_zeros_alone_are_no_evidence_of_shared_information(self):
        text = maps.words([made_up({("gender", 4): 400})], EXPERIMENT)
        assert "one try" in text
        assert "Both raise it at none. Zeros raise it most at gender 4" in text

    def test_decoders_must_agree(self):
        one = made_up({("gender", 4): 400})
        failed = {"zeros": one.failed["zeros"] | {"soft": one.failed["other face"]["soft"]}}
        mixed = replace(one, failed=one.failed | failed)
        assert maps.sides([one], "zeros").sum() == 1
        assert not maps.sides([mixed], "zeros").any()

    def test_drawn_faces_are_not_held_against_the_paper(self, ablations):
        drawn = replace(EXPERIMENT, dataset="synthetic", preset="smoke")
        text = maps.words(ablations, drawn)
        assert "In the paper" not in text
        assert text.endswith("it shows that everything runs.")

    def test_what_was_evaluated(self, ablations):
        told = maps.about(ablations)
        assert told.startswith("5 tasks and 5 blocks, each cell evaluated on 1,000 faces")
        assert "of 2 tries" in told
        assert "0000000000 with changes" in told


def luminance(colour):
    """Of WCAG 2."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def test_what_is_written_into_cells_can_be_read_on_every_colour():
    values = np.linspace(-1.2, 1.2, 25).reshape(1, -1)  # also beyond the scale
    for sure in (True, False):
        ax = Figure().subplots()
        plots.heat(ax, values, np.full(values.shape, "8"), 1.0, sure=sure)
        grounds = ax.collections[0].to_rgba(values.ravel())
        for text, ground in zip(ax.texts, grounds, strict=True):
            dark, light = sorted((luminance(text.get_color()), luminance(ground)))
            assert (light + 0.05) / (dark + 0.05) >= 4.5
