"""Known truth: what is compared with what, and how it is shown, on made-up records."""

import numpy as np
import pytest
from drawn import marks, names, texts
from fake_records import NO_RELATED, RELATED, fake_record

from dclib.study import plans
from dclib.study.analysis.ablation import CONTENTS, Ablation
from dclib.study.analysis.known_truth import PREDICTIONS, SETS, Known, set_of
from dclib.study.figures import known_truth as shown

FACES = 400
SCALES = {  # of landmark errors, by method and set: networks that follow the relation
    ("DCNet", "100"): 0.8,
    ("DCNet", "50"): 0.9,
    ("DCNet", "0"): 1.0,
    ("DCNet", "profile"): 0.9,
    ("DCNet", "others"): 0.9,
    ("XS", "100"): 1.0,
    ("XS", "50"): 1.0,
    ("XS", "0"): 1.0,
    ("RN", "100"): 0.7,
    ("RN", "50"): 1.0,
    ("RN", "0"): 1.4,
    ("RN-S", "100"): 1.0,
}
# Added failures of each row, profile last, where a label is related; the same at every block.
RELATION = {"0": (), "50": RELATED, "100": RELATED, "profile": ("profile",), "others": RELATED[:3]}
CALLED = ["none", "half", "all", "profile only", "all but profile"]


def records(**changes):
    made = [
        fake_record(method, scale, dataset=f"synthetic-{name}-many", try_=try_, **changes)
        for try_ in range(2)
        for (method, name), scale in SCALES.items()
    ]
    control = {"dataset": "synthetic-100-many", "related": NO_RELATED}
    return [*made, *(fake_record("DCNet", 1.0, try_=k, **control, **changes) for k in range(2))]


def evaluation(record):
    """Every related row adds forty failures where its label is related, else none."""
    intact = {d: np.arange(FACES) < 60 for d in ("bin", "soft")}
    rows = [100 if task in RELATION[set_of(record)] else 60 for task in RELATED]
    counts = np.repeat([[100], *([count] for count in rows)], 5, axis=1)
    cells = np.arange(FACES) < counts[..., None]  # (T, D, N)
    failed = {c: {d: cells for d in ("bin", "soft")} for c in CONTENTS}
    return Ablation(record.id, ("landmarks", *RELATED), 5, intact, failed)


@pytest.fixture(scope="module")
def known():
    made = records()
    own = [r for r in made if r.experiment.label == "DCNet"]
    return Known(made, [evaluation(r) for r in own])


def test_every_run_of_the_plan_has_its_place():
    for preset in ("smoke", "cpu"):
        runs = plans.experiments("truth", preset)
        made = [fake_record(dataset=e.dataset) for e in runs]
        assert {set_of(record) for record in made} <= set(SETS)
    assert {set_of(record) for record in made} == set(SETS)


def test_predictions_that_were_built_in_come_true(known):
    table = shown.predictions(known)
    verdicts = dict(zip(table.index, table["verdict"], strict=True))
    unclear = "XS fails less often where all labels are related than where none is"
    assert verdicts.pop(unclear) == "unclear"  # the same scale on every set
    assert set(verdicts.values()) == {"supported"}
    assert len(table) == len(PREDICTIONS) == 12
    assert set(table["of"]) == {"beyond the paper"}
    # forty of 400 faces fail in addition: ten points
    zeros = [name for name in table.index if name.startswith("Zeros in the")]
    assert table.loc[zeros, "bin"].tolist() == pytest.approx([-10, -10, -10])
    assert shown.words(known).startswith("Of 12 predictions: 11 confirmed, 1 inconclusive")


def test_predictions_that_are_turned_round_are_contradicted():
    turned = {"100": "0", "0": "100"}
    swapped = []
    for record in records():
        name = turned.get(set_of(record), set_of(record))
        if record.experiment.label in ("DCNet", "RN"):
            dataset = f"synthetic-{name}-many"
            e = record.experiment
            scale = SCALES[e.method, set_of(record)]
            record = fake_record(e.method, scale, dataset=dataset, try_=e.try_)
        swapped.append(record)
    table = shown.predictions(Known(swapped, []))
    assert table["verdict"].iloc[[0, 2, 3]].tolist() == 3 * ["contradicted"]
    assert set(table["verdict"].iloc[6:]) == {"not tested"}


def test_smoke_gives_no_verdict():
    made = [
        fake_record("DCNet", 1.0, dataset=dataset, preset="smoke")
        for dataset in ("synthetic", "synthetic-0")
    ]
    table = shown.predictions(Known(made, []))
    assert set(table["verdict"]) == {"not tested"}
    assert np.isfinite(table["bin"].iloc[0])
    assert np.isnan(table["bin"].iloc[1])


def test_excess_pairs_tries_and_leaves_the_rest_out(known):
    rates = known.rate("RN", "0", "bin") - known.rate("RN-S", "100", "bin")
    np.testing.assert_array_equal(known.excess("RN", "0", "RN-S", "bin"), rates)
    fewer = Known(
        [r for r in records() if (r.experiment.try_, r.experiment.method) != (1, "RN")], []
    )
    assert fewer.excess("RN", "0", "RN-S", "bin").shape == (1, FACES)


class TestFigures:
    def test_points_are_the_rates_of_each_set(self, known):
        ax = shown.rates(known).axes[0]
        points = marks(ax, "o")
        assert len(points) == 11
        expected = known.rate("DCNet", "0", "bin").mean()
        assert expected in [pytest.approx(y) for _, y in points]
        flat = [line.get_ydata()[0] for line in ax.lines if len(set(line.get_ydata())) == 1]
        assert pytest.approx(known.rate("RN-S", "100", "bin").mean()) in flat
        labels = [name.replace("\n", " ") for name in names(ax.get_xticklabels())]
        assert labels == CALLED

    def test_rows_react_to_their_own_relation(self, known):
        panels = shown.rows(known).axes
        by_set = {round(x + 0.14): y for x, y in marks(panels[4], "o")}
        assert by_set == pytest.approx({0: 0, 1: 10, 2: 10, 3: 10, 4: 0})

    def test_a_map_for_each_set(self, known):
        fig = shown.maps(known)
        called = [ax.get_ylabel().replace("\n", " ") for ax in fig.axes[:10:2]]
        assert called == CALLED
        assert texts(fig.axes[6]) == 5 * ["+67"] + 15 * ["0"] + 5 * ["+67"]  # 40 of 60

    def test_without_runs_figures_say_how_to_make_them(self, known):
        nothing = Known([], [])
        for fig, command in (
            (shown.rates(nothing), "train"),
            (shown.rows(nothing), "ablate"),
            (shown.maps(Known(records(), [])), "ablate"),
        ):
            assert texts(fig.axes[0]) == [
                f"Not run: python -m dclib {command} --plan truth --preset cpu"
            ]
        assert shown.words(nothing) == "Of 12 predictions: 12 not tested."
