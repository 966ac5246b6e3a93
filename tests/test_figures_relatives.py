"""The pictures of the methods: do they show how each one is wired?

What is read from the networks is compared with what the papers say of each method, written down
here by hand.
"""

import ast
from dataclasses import replace

import nbformat
import pandas as pd
import pytest
import torch
from fake_records import fake_records
from matplotlib.patches import Circle
from test_figures_architecture import assert_legible, words
from torch import nn

from dclib import CollaborativeBlock, build, count_parameters, mtfl_tasks, paths
from dclib.methods import METHODS
from dclib.network import Method, Network, per_task
from dclib.records import runs
from dclib.study.analysis.comparison import Comparison
from dclib.study.figures import relatives, results, sizes, structure
from dclib.study.figures.wiring import Wiring
from dclib.study.plans import experiments

ALL = [[True] * 3] * 3
OWN = [[s == t for s in range(3)] for t in range(3)]
LAST = len(structure.CHANNELS) - 1


def read(method: str, tasks: int = 3) -> structure.Structure:
    return structure.structure(method, tasks)


@pytest.fixture
def registered(monkeypatch):
    """Adds methods to the registry for one test."""

    def add(name: str, method: Method) -> str:
        monkeypatch.setitem(METHODS, name, method)
        return name

    yield add
    structure.structure.cache_clear()


# What reaches what


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("XS", ALL),
        ("XS-layer", ALL),
        ("XS-single", ALL),
        ("NDDR", ALL),
        ("DCNet", ALL),
        ("Sluice", ALL),
        ("L2", OWN),
        ("LAF", OWN),
        # columns in the order of the tasks, trained in the order 2, 3, 1: each reads earlier ones
        ("Progressive", [[True, True, True], [False, True, False], [False, True, True]]),
    ],
)
def test_who_hears_whom_at_every_depth(method, expected):
    found = read(method)
    assert found.columns == 3
    for join in found.joins:
        assert [list(row) for row in join.reads] == expected


@pytest.mark.parametrize(
    ("method", "maps"),
    [
        ("XS", (1, 1, 1)),  # map by map
        ("Sluice", (2, 2, 2)),  # half by half
        ("NDDR", structure.CHANNELS),  # all of them
        ("DCNet", structure.CHANNELS),
        ("Progressive", structure.CHANNELS),
    ],
)
def test_how_many_maps_a_map_is_made_of(method, maps):
    assert tuple(join.maps for join in read(method).joins) == maps


def test_only_the_collaborative_block_has_a_centre():
    for name, method in METHODS.items():
        ours = method.mixer is not None and isinstance(method.mixer([8, 8]), CollaborativeBlock)
        assert any(join.central for join in read(name).joins) == ours, name


@pytest.mark.parametrize("method", ["RN-S", "RN", "RN-stop", "TCDCN", "HF", "MTAN", "DRN"])
def test_methods_with_one_column(method):
    found = read(method)
    assert found.columns == 1
    assert all(join.apart for join in found.joins)
    assert len(found.reads) == (1 if method == "RN-S" else 3)


def test_what_heads_read():
    """Places are (column, depth)."""
    last = (0, LAST)
    for method in ("RN", "DRN", "TCDCN"):
        assert read(method).reads == (frozenset({last}),) * 3
    for method in ("XS", "DCNet", "L2", "Progressive"):
        assert read(method).reads == tuple(frozenset({(t, LAST)}) for t in range(3))
    private, shared = [(t, LAST) for t in range(3)], (3, LAST)
    assert read("Private").reads == tuple(frozenset({own, shared}) for own in private)
    every = [frozenset((t, d) for d in range(LAST + 1)) for t in range(3)]
    assert read("Sluice").reads == tuple(every)
    assert read("HF").reads == (every[0],) * 3
    assert read("MTAN").reads == (every[0] - {(0, 0)},) * 3  # nobody attends to the stem


def test_what_stands_between_columns_and_heads():
    """Weights of each task's own, or for all: HyperFace's fusion, MTAN's attention."""
    between = {m: (read(m).own, read(m).common, read(m).same) for m in METHODS}
    assert between["RN"] == (False, False, True)
    assert between["XS"] == (False, False, False)
    assert between["HF"] == (False, True, True)
    assert between["TCDCN"] == (False, True, True)
    assert between["DRN"] == (True, False, False)
    assert between["MTAN"][0]
    assert not between["MTAN"][2]


# What is tied, what comes first


def test_penalties_tie_what_they_should():
    everything = {(s, t, d) for s, t in ((0, 1), (0, 2), (1, 2)) for d in range(LAST + 1)}
    for method in ("L2", "LAF", "Tucker", "TT"):
        ties = read(method).ties
        assert ties.columns == everything
        assert (ties.within, ties.heads, ties.features) == (False, frozenset(), frozenset())
    assert read("DRN").ties == structure.Ties(
        columns=frozenset(),
        within=False,
        heads=frozenset(range(3)),
        features=frozenset(),
        judge=False,
    )
    assert read("Sluice").ties.within
    assert not read("Sluice").ties.columns
    for method in ("Private", "Private-adv"):
        assert read(method).ties.features == frozenset(range(3))
        assert read(method).ties.judge == (method == "Private-adv")


def test_methods_without_a_penalty_tie_nothing():
    for name, method in METHODS.items():
        assert bool(read(name).ties) == bool(method.penalty), name


def test_stages_of_training():
    staged = {m: read(m).order for m in METHODS if read(m).order.stages > 1}
    single_first = structure.Order(columns=(0, 0, 0), joins=1, stages=2)
    assert staged == {
        "XS-single": single_first,
        "NDDR-single": single_first,
        "Progressive": structure.Order(columns=(2, 0, 1), joins=1, stages=3),
    }


def test_tasks_that_may_end_early():
    assert {m for m in METHODS if read(m).stops} == {"TCDCN", "RN-stop", "AN-stop"}


def test_widened_methods_and_those_on_alexnet_look_like_the_others():
    assert read("RN") == read("RNx") == read("AN") == read("ANx")
    assert read("RN-S") == read("RN-Sx") == read("AN-Sx")
    assert read("XS") == read("XSx")
    assert {"RNx", "XSx", "AN", "AN-S", "AN-stop"}.isdisjoint(relatives.gallery())
    assert {"RN", "XS", "XS-single", "DCNet"} <= set(relatives.gallery())


def test_reading_changes_neither_random_numbers_nor_later_networks():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    structure.structure.cache_clear()
    read("DCNet")
    assert torch.equal(torch.rand(3), expected)


# A method that nobody has thought of


class Ring(nn.Module):
    """Each column adds what the one before it has, the first what the last has."""

    def __init__(self, channels) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.zeros(len(channels)))

    def forward(self, maps):
        turned = [maps[-1], *maps[:-1]]
        return [x + g * other for x, g, other in zip(maps, self.gain, turned, strict=True)]


class Skipping(Network):
    """The second head reads the first depth of its column too, through weights of its own."""

    def __init__(self, tasks, columns, channels) -> None:
        super().__init__(tasks, columns, channels)
        self.extra = nn.Linear(channels[1][0], channels[1][-1])

    def features(self, images):
        pooled = [[x.mean(dim=(2, 3)) for x in maps] for maps in self.depths(images)]
        first, second, *others = pooled[-1]
        return [first, second + self.extra(pooled[0][1]), *others]


def test_a_newcomer_is_read_without_a_line_about_it(registered):
    ring = read(registered("ring", Method("a ring", columns=per_task, mixer=Ring)))
    for join in ring.joins:
        expected = [[True, False, True], [True, True, False], [False, True, True]]
        assert [list(row) for row in join.reads] == expected
        assert (join.kind, join.maps, join.central) == ("Ring", 1, False)
    skipping = Method("skipping", columns=per_task, network=Skipping)
    found = read(registered("skipping", skipping))
    assert found.reads[1] == frozenset({(1, 0), (1, LAST)})
    assert found.reads[2] == frozenset({(2, LAST)})
    assert (found.own, found.common) == (True, False)
    assert "ring" in relatives.gallery()
    assert "ring" in words(relatives.picture("ring"))[-1]
    told = words(relatives.overview(["XS", "ring", "skipping"]))
    assert {"XS", "ring", "skipping", "a ring"} <= set(told)


# Drawing


@pytest.mark.parametrize("method", relatives.gallery())
def test_every_method_has_a_legible_picture(method):
    for tasks in (2, 5):
        fig = relatives.picture(method, tasks)
        assert_legible(fig)
        names = [task.name for task in mtfl_tasks(64)][: 1 if METHODS[method].main_only else tasks]
        assert words(fig)[-1 - len(names) : -1] == names


def test_a_picture_for_one_task_alone():
    for method in relatives.gallery():
        assert_legible(relatives.picture(method, tasks=1))


def test_the_sheet_shows_each_method_once_and_is_legible():
    fig = relatives.overview()
    assert_legible(fig)
    told = words(fig)
    for name in relatives.gallery():
        assert sum(name in text.split(", ") for text in told) == 1
    assert "L2, LAF, Tucker, TT" in told


def test_what_is_read_is_what_is_drawn():
    """Signs come and go with what they stand for."""
    plain, staged, stopped = (words(relatives.picture(m))[-1] for m in ("XS", "XS-single", "TCDCN"))
    assert plain == "cross stitch"
    assert staged == "cross stitch · numbers: the order of training"
    assert stopped == "octagons: may end early"
    assert words(relatives.picture("L2"))[-1] == "dashes: a penalty"
    assert words(relatives.picture("RN"))[-1] == ""
    numbers = [w for w in words(relatives.picture("Progressive")) if w.isdigit()]
    assert numbers == ["3", "1", "2"]

    def hubs(method: str) -> int:
        patches = relatives.picture(method).axes[0].patches
        return sum(isinstance(patch, Circle) and patch.radius > 0.05 for patch in patches)

    assert hubs("DCNet") == 3
    assert hubs("NDDR") == 0


def test_lines_in_the_bar_follow_the_matrix():
    """Three lines less, one for each depth, where column 1 no longer hears column 2."""
    fig_of = relatives.sketch.sheet

    def lines(found) -> int:
        _, ax = fig_of(9, 5)
        Wiring(found).draw(ax)
        return len(ax.lines)

    full = read("XS")
    cut = ((True, False, True), *full.joins[0].reads[1:])
    less = replace(full, joins=tuple(replace(join, reads=cut) for join in full.joins))
    assert lines(full) - lines(less) == 3
    assert lines(full) == 27


# Sizes


def networks(method: str, width: float = 1.0) -> Network:
    on = METHODS[method].underlying or "resnet18"
    with torch.device("meta"):
        return build(method, tasks=mtfl_tasks(112), underlying=on, width=width)


def test_what_must_be_kept_for_the_main_task():
    column, head = 11_176_512, 512 * 816 + 816 + 2 * 816 + 816 * 1120 + 1120
    for method in ("RN-S", "RN", "RN-stop", "L2", "LAF"):
        assert sizes.needed(networks(method)) == column + head
    assert sizes.needed(networks("XS")) == 5 * column + head + 25_600
    assert sizes.needed(networks("NDDR")) == 5 * column + head + 8_816_640 - 4 * (
        5 * 512 * 512 + 2 * 512
    )  # the other tasks' convolutions of the last depth are of no use to it
    last = 5 * 512 * 640 + 9 * 640**2 + 4 * 640 + (512 + 640) * 512 + 9 * 512**2 + 4 * 512
    earlier = 315_200 * 2 + 1_257_600 + 5_024_000
    assert sizes.needed(networks("DCNet")) == 5 * column + head + earlier + last
    # its own column and the shared one, and a head on both
    wide = 1024 * 1072 + 1072 + 2 * 1072 + 1072 * 1120 + 1120
    assert sizes.needed(networks("Private")) == 2 * column + wide


def test_relatives_in_one_table():
    methods = ["DCNet", "TCDCN", "Sluice", "RN", "HF"]
    frame = sizes.by_method(mtfl_tasks(64), resolution=64, width=0.125, methods=methods)
    assert list(frame.index) == ["RN", "TCDCN", "HF", "Sluice", "DCNet"]  # of the registry
    for name in methods:
        on = METHODS[name].underlying or "resnet18"
        net = build(name, tasks=mtfl_tasks(64), underlying=on, resolution=64, width=0.125)
        assert 1e6 * frame.loc[name, "parameters (M)"] == pytest.approx(count_parameters(net))


def test_whose_columns_may_be_different_cnns():
    """Those that work map by map or kernel by kernel need equal ones, the others do not."""
    answers = {method: relatives.differ(method) for method in relatives.gallery()}
    free = ("DCNet", "NDDR", "NDDR-single", "Progressive", "Private", "Private-adv")
    tied = ("XS", "XS-layer", "XS-single", "Sluice", "L2", "LAF", "Tucker", "TT")
    assert {answers[method] for method in free} == {"yes"}
    assert {answers[method] for method in tied} == {"no"}


def test_table_joins_sizes_and_cost(monkeypatch):
    monkeypatch.setattr(relatives, "gallery", lambda: ["DCNet", "RN"])
    cost = pd.DataFrame({"step (ms)": [2.0, 9.0], "kept (MB)": [3.0, 4.0]}, index=["RN", "DCNet"])
    frame = relatives.table(mtfl_tasks(112), cost)
    assert list(frame.index) == ["RN", "DCNet"]
    assert frame.loc["RN", "parameters (M)"] == pytest.approx(13.044570)
    assert frame.loc["DCNet", "parameters (M)"] == pytest.approx(84.745818)
    assert frame["may differ"].tolist() == ["–", "yes"]
    assert frame["kept (MB)"].tolist() == [3, 4]


# The page


def test_rates_of_methods_on_networks_of_their_own():
    records = fake_records({"RN": 3.0, "DCNet": 2.0}, tries=2, faces=50)
    own = fake_records({"TCDCN": 4.0}, tries=1, faces=50, underlying="tcdcn")
    fig = results.rates([*own, *records])
    left, right = fig.axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["RN", "TCDCN", "DCNet"]
    assert "50 faces" in fig.get_suptitle()
    for ax, metric in ((left, "failure rate"), (right, "mean error")):
        drawn = {(line.get_xdata()[0], line.get_ydata()[0]) for line in ax.lines}
        for y, group in ((0, records), (1, own)):
            score = Comparison(group).score(group[0].experiment.method, metric)
            assert any(x == score.value and abs(at - y) < 0.5 for x, at in drawn), metric
    with pytest.raises(ValueError, match="no run"):
        results.rates([])


def test_rates_of_methods_without_runs():
    fig = results.rates(fake_records({"RN": 3.0, "DCNet": 2.0}, faces=50), also=["NDDR", "RN"])
    for ax in fig.axes:
        said = [(t.get_text(), t.get_position()[1]) for t in ax.texts]
        assert said == [("not run", 1)]
    rows = [label.get_text() for label in fig.axes[0].get_yticklabels()]
    assert rows == ["RN", "NDDR", "DCNet"]


def test_the_league_table_and_its_title():
    """Rates by counting, sizes of the networks themselves, 16 steps of 33 faces by 3 epochs."""
    changes = {"faces": 50, "width": 0.125, "epochs": 3, "batch": 2}
    records = [
        *fake_records({"RN": 3.0, "DCNet": 2.0}, **changes),
        *fake_records({"L2": 1.0}, tries=1, **changes, penalty=10.0),
        *fake_records({"Progressive": 2.5}, tries=1, **changes, revision=1),
    ]
    for minutes, record in enumerate(records):
        record.environment.update(trained_on=33, seconds=60.0 * minutes)
    frame = relatives.league(records)
    rates = {}
    for name in frame.index:
        own = [r.outcomes.errors["bin"] for r in records if r.experiment.method == name]
        rates[name] = 100 * sum((e > 0.1).mean() for e in own) / len(own)
    assert list(frame.index) == sorted(rates, key=lambda name: rates[name])
    assert frame["failure rate (%)"].tolist() == pytest.approx(sorted(rates.values()))
    assert (frame["low"] <= frame["failure rate (%)"]).all()
    assert (frame["high"] >= frame["failure rate (%)"]).all()
    assert frame["tries"].to_dict() == {"RN": 2, "DCNet": 2, "L2": 1, "Progressive": 1}
    assert frame.loc["DCNet", "training (min)"] == pytest.approx((1 + 3) / 2)
    assert frame.loc["RN", "parameters (M)"] == 1.0  # as recorded
    ratio = frame.loc["L2", "multiply-adds (M)"] / frame.loc["RN", "multiply-adds (M)"]
    assert 4.5 < ratio < 5  # five columns, but heads of equal size
    title = relatives.league_title(records)
    assert title.startswith("4 ways to share after 48 training steps: MTFL, 33 faces, 3 epochs")


def test_the_league_table_of_the_quick_look_is_after_1280_steps():
    committed = [r for r in runs.committed() if r.experiment in set(experiments("fig3", "cpu"))]
    assert "after 1,280 training steps" in relatives.league_title(committed)


def test_the_page_tells_of_methods_that_exist_and_lists_those_it_does_not_know():
    page = nbformat.read(paths.root() / "notebooks" / "02_relatives.ipynb", as_version=4)
    code = "\n".join(cell.source for cell in page.cells if cell.cell_type == "code")
    calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    told = {
        argument.value
        for call in calls
        if ast.unparse(call.func) in ("equations", "relatives.picture")
        for argument in call.args
        if isinstance(argument, ast.Constant)
    }
    assert told <= METHODS.keys()
    assert {"RN", "DCNet", "Progressive"} <= told
    assert "[method for method in relatives.gallery() if method not in told]" in code
