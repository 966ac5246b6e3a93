"""The pictures of the methods: do they show how each one is wired?

What is said of a method's sharing is held against its network: maps are moved, gradients followed.
"""

import ast
from dataclasses import replace

import nbformat
import pandas as pd
import pytest
import torch
from fake_records import fake_records
from matplotlib.patches import Circle
from test_figures_architecture import assert_legible, network, words
from torch import nn

from dclib import CollaborativeBlock, count_parameters, mtfl_tasks, paths
from dclib.methods import METHODS
from dclib.network import Apart, Method, Network, per_task
from dclib.records import runs
from dclib.study.analysis.comparison import Comparison
from dclib.study.figures import relatives, results, sizes, structure
from dclib.study.figures.structure import DEPTHS
from dclib.study.figures.wiring import Wiring
from dclib.study.plans import experiments
from dclib.tasks import Classes

CHANNELS = (8, 12, 16)  # of a small underlying network, after each block


def column() -> nn.ModuleList:
    def block(incoming: int, channels: int) -> nn.Sequential:
        return nn.Sequential(
            *(nn.Conv2d(incoming, channels, 3, 2, 1), nn.BatchNorm2d(channels), nn.ReLU()),
            *(nn.Conv2d(channels, channels, 3, 1, 1), nn.BatchNorm2d(channels), nn.ReLU()),
        )

    return nn.ModuleList(map(block, (3, *CHANNELS[:-1]), CHANNELS))


def small(method: str, tasks: int = 3) -> tuple[Network, torch.Tensor]:
    """A method's network on small underlying networks, with random weights; and images."""
    torch.manual_seed(0)
    chosen = METHODS[method]
    heads = [Classes(f"task {t + 1}", 2 + t) for t in range(1 if chosen.main_only else tasks)]
    count = chosen.columns(len(heads))
    net = chosen.assemble(heads, [column() for _ in range(count)], [CHANNELS] * count)
    for p in net.parameters():  # a weight that starts at zero would hide a connection
        p.data += 0.1 * torch.randn_like(p)
    return net.eval(), torch.randn(8, 3, 16, 16)


def pulls(value: torch.Tensor, of) -> list[bool]:
    """Whether a number, or some that are weighted at random, depends on each of these tensors."""
    of = list(of)
    total = (value * torch.randn_like(value)).sum()
    if not of or not total.requires_grad:
        return [False] * len(of)
    slopes = torch.autograd.grad(total, of, retain_graph=True, allow_unused=True)
    return [slope is not None and bool(slope.any()) for slope in slopes]


def between(net: Network, features) -> dict[nn.Parameter, set[int]]:
    """The weights that are in no column, mixer or head, and the heads that each serves."""
    inside = {p for part in (net.columns, net.mixers, net.heads) for p in part.parameters()}
    weights = [p for p in net.parameters() if p not in inside]
    rows = [pulls(f, weights) for f in features]
    return {p: {t for t, row in enumerate(rows) if row[k]} for k, p in enumerate(weights)}


every_method = pytest.mark.parametrize("method", METHODS)


@every_method
def test_columns_hear_of_those_that_they_are_said_to(method):
    """By gradients of each map after a mixer, in the network itself."""
    found, (net, _) = structure.structure(method), small(method)
    order = getattr(net, "order", range(len(net.columns)))  # in which a mixer gets the columns
    assert found.columns == len(net.columns)
    assert found.central == any(isinstance(m, CollaborativeBlock) for m in net.mixers)
    for channels, mixer in zip(CHANNELS, net.mixers, strict=True):
        assert found.mixer == ("" if isinstance(mixer, Apart) else type(mixer).__name__)
        maps = [torch.randn(8, channels, 2, 2, requires_grad=True) for _ in order]
        hears, most = [[False] * found.columns for _ in order], 0
        for t, made in zip(order, mixer(maps), strict=True):
            for one in made.unbind(dim=1):
                total = (one * torch.randn_like(one)).sum()
                slopes = torch.autograd.grad(total, maps, retain_graph=True, allow_unused=True)
                for s, slope in zip(order, slopes, strict=True):
                    sources = 0 if slope is None else slope.any(dim=0).flatten(1).any(dim=1).sum()
                    hears[t][s] |= bool(sources)
                    most = max(most, int(sources))
        assert [list(row) for row in found.hears] == hears
        assert most == (found.parts or channels)


@every_method
def test_heads_read_what_they_are_said_to(method):
    """All maps are cut off from what made them: a gradient that reaches some came directly."""
    found, (net, images) = structure.structure(method), small(method)
    order = getattr(net, "order", range(len(net.columns)))
    cut = []

    def leaf(place, maps):
        cut.append((place, maps.detach().requires_grad_()))
        return cut[-1][1]

    for depth, mixer in enumerate(net.mixers):
        for c, blocks in enumerate(net.columns):
            for part in (*blocks[depth].children(), blocks[depth]):  # some read within a block
                part.register_forward_hook(lambda *io, at=(c, depth): leaf(at, io[-1]))
        if not isinstance(mixer, Apart):
            mixer.register_forward_hook(
                lambda *io, d=depth: [leaf((c, d), x) for c, x in zip(order, io[-1], strict=True)]
            )
    for features, reads in zip(net.features(images), found.reads, strict=True):
        reached = pulls(features, [maps for _, maps in cut])
        assert reads == {place for (place, _), on in zip(cut, reached, strict=True) if on}


@every_method
def test_weights_between_columns_and_heads_are_whose_they_are_said_to_be(method):
    found, (net, images) = structure.structure(method), small(method)
    features = net.features(images)
    serves = {len(heads) for heads in between(net, features).values()} - {0}
    assert found.between == ("own" if 1 in serves else "common" if serves else "")
    assert found.same == all(torch.equal(f, features[0]) for f in features)


@every_method
def test_a_penalty_ties_what_it_is_said_to(method):
    found, (net, images) = structure.structure(method), small(method)
    features = [f.detach().requires_grad_() for f in net.features(images)]
    serving = between(net, net.features(images))
    own = {t: [p for p, heads in serving.items() if heads == {t}] for t in range(len(net.heads))}

    def acts(weights) -> bool:
        penalty = net.penalty(features)
        return penalty is not None and any(pulls(penalty, weights))

    tied = {
        "columns": acts(net.columns.parameters()),
        "heads": all(acts([*h.parameters(), *own[t]]) for t, h in enumerate(net.heads)),
        "features": all(acts([f]) for f in features),
    }
    assert [what for what, on in tied.items() if on] == (
        [found.penalty.replace("within", "columns")] if found.penalty else []
    )
    assert bool(found.penalty) == bool(METHODS[method].penalty)
    assert found.judge == acts([p for p, heads in serving.items() if not heads])
    if tied["columns"]:  # does the pull on one change where another moves?
        first, second = (next(c.parameters()) for c in net.columns[:2])
        before = torch.autograd.grad(net.penalty(features), first)[0]
        second.data *= 1.5
        together = not torch.equal(torch.autograd.grad(net.penalty(features), first)[0], before)
        assert together == (found.penalty == "columns")


@every_method
def test_stages_of_training_come_as_they_are_said_to(method):
    found, (net, images) = structure.structure(method), small(method)
    parts = [net.mixers, *net.columns]
    first = [net.stages] * len(parts)
    for stage in range(net.stages):
        names = net.enter(stage)
        logits = net.train()(images)
        loss = torch.cat([logits[name].flatten() for name in names])
        for k, part in enumerate(parts):
            if any(pulls(loss, [p for p in part.parameters() if p.requires_grad])):
                first[k] = min(first[k], stage)
    assert found.trained == tuple(first[1:])
    if found.mixer and any(True for _ in net.mixers.parameters()):
        assert found.joined == first[0]


def test_what_the_papers_say_of_some():
    """By hand; places are (column, depth)."""
    read = structure.structure
    assert read("Progressive").hears == ((True,) * 3, (False, True, False), (False, True, True))
    assert read("Private").reads[1] == {(1, DEPTHS - 1), (3, DEPTHS - 1)}
    assert read("MTAN").reads == ({(0, 1), (0, 2)},) * 3  # nobody attends to the stem
    assert {m for m in METHODS if read(m).stops} == {"TCDCN", "RN-stop", "AN-stop"}
    assert {m for m in METHODS if read(m).joined} == {"XS-single", "NDDR-single", "Progressive"}


def test_widened_methods_and_those_on_alexnet_look_like_the_others():
    read = structure.structure
    assert read("RN") == read("RNx") == read("AN") == read("ANx")
    assert read("RN-S") == read("RN-Sx") == read("AN-Sx")
    assert read("XS") == read("XSx")
    assert {"RNx", "XSx", "AN", "AN-S", "AN-stop"}.isdisjoint(relatives.gallery())
    assert {"RN", "XS", "XS-single", "DCNet"} <= set(relatives.gallery())


class Ring(nn.Module):
    """Each column adds what the one before it has, the first what the last has."""

    def __init__(self, channels) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.zeros(len(channels)))

    def forward(self, maps):
        turned = [maps[-1], *maps[:-1]]
        return [x + g * other for x, g, other in zip(maps, self.gain, turned, strict=True)]


def test_a_mixer_that_nobody_has_thought_of_is_read_without_a_line_about_it(monkeypatch):
    monkeypatch.setitem(METHODS, "ring", Method("a ring", columns=per_task, mixer=Ring))
    found = structure.structure("ring")
    assert found.hears == ((True, False, True), (True, True, False), (False, True, True))
    assert (found.mixer, found.central, found.parts) == ("Ring", False, 1)
    assert "ring" in relatives.gallery()
    assert words(relatives.picture("ring"))[-1] == "ring"
    assert {"XS", "ring", "a ring"} <= set(words(relatives.overview(["XS", "ring"])))


# Drawing


@pytest.mark.parametrize("method", relatives.gallery())
def test_every_method_has_a_legible_picture(method):
    for tasks in (1, 2, 5):
        fig = relatives.picture(method, tasks)
        assert_legible(fig)
        names = [task.name for task in mtfl_tasks(64)][: 1 if METHODS[method].main_only else tasks]
        assert words(fig)[-1 - len(names) : -1] == names


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

    def lines(found) -> int:
        _, ax = relatives.sketch.sheet(9, 5)
        Wiring(found).draw(ax)
        return len(ax.lines)

    full = structure.structure("XS")
    less = replace(full, hears=((True, False, True), *full.hears[1:]))
    assert lines(full) - lines(less) == 3
    assert lines(full) == 27


# Sizes


def test_what_must_be_kept_for_the_main_task():
    column, head = 11_176_512, 512 * 816 + 816 + 2 * 816 + 816 * 1120 + 1120
    for method in ("RN-S", "RN", "RN-stop", "L2", "LAF"):
        assert sizes.needed(network(method)) == column + head
    assert sizes.needed(network("XS")) == 5 * column + head + 25_600
    assert sizes.needed(network("NDDR")) == 5 * column + head + 8_816_640 - 4 * (
        5 * 512 * 512 + 2 * 512
    )  # the other tasks' convolutions of the last depth are of no use to it
    last = 5 * 512 * 640 + 9 * 640**2 + 4 * 640 + (512 + 640) * 512 + 9 * 512**2 + 4 * 512
    earlier = 315_200 * 2 + 1_257_600 + 5_024_000
    assert sizes.needed(network("DCNet")) == 5 * column + head + earlier + last
    # its own column and the shared one, and a head on both
    wide = 1024 * 1072 + 1072 + 2 * 1072 + 1072 * 1120 + 1120
    assert sizes.needed(network("Private")) == 2 * column + wide


def test_relatives_in_one_table():
    methods = ["DCNet", "TCDCN", "Sluice", "RN", "HF"]
    frame = sizes.by_method(mtfl_tasks(64), resolution=64, width=0.125, methods=methods)
    assert list(frame.index) == ["RN", "TCDCN", "HF", "Sluice", "DCNet"]  # of the registry
    for name in methods:
        net = network(name, width=0.125, resolution=64)
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
    cost = pd.DataFrame({"plain (ms)": [2.0, 9.0], "kept (MB)": [3.0, 4.0]}, index=["RN", "DCNet"])
    frame = relatives.table(mtfl_tasks(112), cost)
    assert list(frame.index) == ["RN", "DCNet"]
    assert frame.loc["RN", "parameters (M)"] == pytest.approx(13.044570)
    assert frame.loc["DCNet", "parameters (M)"] == pytest.approx(84.745818)
    assert frame["may differ"].tolist() == ["–", "yes"]
    assert frame["step (ms)"].tolist() == [2, 9]
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
        drawn = {at for line in ax.lines for at in zip(*line.get_data(), strict=True)}
        for y, group in ((0, records), (1, own)):
            score = Comparison(group).score(group[0].experiment.method, metric)
            assert any(x == score.value and abs(at - y) < 0.5 for x, at in drawn), metric
    with pytest.raises(ValueError, match="no run"):
        results.rates([])


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
    found = runs.find(experiments("fig3", "cpu"))
    assert "after 1,280 training steps" in relatives.league_title(found)


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
