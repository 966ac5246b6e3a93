"""Records of cascades: what is kept is what was found, to the rounding; the store is the runs'.

What `test_runs` holds of reading, finding and publishing holds here by the same code.
"""

import json
from dataclasses import replace

import numpy as np
import pytest
from fake_cascades import GROUP, fake_cascade, fake_findings

from dclib.errors import RunError
from dclib.mtcnn import presets, records
from dclib.mtcnn.findings import restore
from dclib.records import runs

EXPERIMENT = replace(
    presets.experiment("paper", "DC-MTCNN", fingerprint="0" * 16),
    preset="cpu",
    datasets=("lfwnet",),
    batch=(512, 512, 256),
    lr=(0.01, 0.01, 0.005),
    samples=(100, 100, 100),
    weighting="MTCNN",
    negatives=25,
    mining_minimum=20.0,
)


def findings(faces=2995, heldout=3466):
    """As large as the real ones, with faces missed and nothing regular to compress."""
    rng = np.random.default_rng(0)
    overlaps = np.where(rng.random(heldout) < 0.03, 0.0, rng.uniform(0.3, 1, heldout))
    none = {"boxes": np.zeros((0, 4)), "scores": np.zeros(0), "points": np.zeros((0, 5, 2))}
    return replace(
        fake_findings(missed=faces // 33, faces=faces),
        overlaps=overlaps,
        heldout_scores=np.where(overlaps > 0, rng.uniform(0.7, 1, heldout), np.nan),
        others=rng.integers(0, 4, heldout),
        pictures={
            "group": GROUP,
            "wider/a:b.jpg": {"size": [1024, 768], "truth": 13, "found": 0} | none,
        },
    )


def save(place, experiment=EXPERIMENT, found=None):
    made = fake_cascade()
    folder = place / experiment.id
    folder.mkdir(parents=True)
    parts = (made.environment, made.history, made.mined, found or findings(40, 30))
    return records.save(folder, experiment, *parts)


def test_what_is_read_is_what_was_found(store):
    found = findings()
    record = save(store, found=found)
    kept = record.findings
    for name, step in (
        ("scores", 5e-5),
        ("errors", 1e-4),
        ("points", 0.005),
        ("overlaps", 5e-5),
        ("heldout_scores", 5e-5),
    ):
        own = getattr(found, name)
        np.testing.assert_allclose(getattr(kept, name), own, rtol=0, atol=step + 1e-9)
    assert kept.others.tolist() == found.others.tolist()
    assert kept.about() == found.about()
    for name, shown in found.pictures.items():
        assert kept.pictures[name].keys() == shown.keys()
        for part in ("boxes", "scores", "points"):
            np.testing.assert_allclose(kept.pictures[name][part], shown[part], rtol=0, atol=0.0051)
    assert restore(kept.about(), kept.arrays()).arrays() == kept.arrays()
    assert (record.history, record.mined) == (fake_cascade().history, fake_cascade().mined)
    assert sum(file.stat().st_size for file in record.folder.iterdir()) < 150_000


def test_rounding_turns_no_face_into_a_failure_nor_back(store):
    errors = np.array([0.1, np.nextafter(0.1, 0), 0.1000001, 0.0999999, 0.10005, np.nan, 0.0])
    scores = np.where(np.isnan(errors), np.nan, 0.9)
    found = replace(findings(7), errors=errors, scores=scores)
    kept = save(store, found=found).findings
    assert (kept.errors > 0.10).tolist() == [False, False, True, False, True, False, False]


def test_both_ways_of_counting_missed_faces():
    """Worked by hand: errors 0.02, 0.05, 0.12 and one face missed."""
    errors = np.array([0.02, 0.05, np.nan, 0.12])
    found = replace(findings(4), errors=errors, scores=np.array([0.9, 0.8, np.nan, 0.7]))
    assert found.missed() == 1
    assert found.failure_rate(missed_fail=True) == 2 / 4
    assert found.failure_rate(missed_fail=False) == pytest.approx(1 / 3)
    assert found.mean_error() == pytest.approx(0.19 / 3)


def test_nothing_found_fails_everywhere_and_has_no_mean_error():
    nothing = np.full(4, np.nan)
    found = replace(findings(4), errors=nothing, scores=nothing)
    assert found.failure_rate(missed_fail=True) == 1.0
    with pytest.raises(ValueError, match="no face"):
        found.mean_error()
    with pytest.raises(ValueError, match="no face"):
        found.failure_rate(missed_fail=False)


def test_recall_counts_overlaps_of_exactly_a_half():
    assert replace(findings(4), overlaps=np.array([0.5, 0.499, 0.9, 0.0])).recall() == 0.5


def test_records_are_found_committed_ones_first(store):
    record, other = save(store), replace(EXPERIMENT, try_=1)
    assert records.find([other, EXPERIMENT])[0].folder == record.folder
    assert record.weights is None
    for stage in "PRO":
        (record.folder / records.weights_name(stage)).write_bytes(b"")
    published = records.publish(record)
    assert published.folder == store.parent / "results" / "cascades" / record.id
    assert set(published.weights) == {"P", "R", "O"}
    assert records.find([EXPERIMENT])[0].folder == published.folder
    assert records.load(record.id[:5]).folder == published.folder
    assert [found.id for found in records.every()] == [record.id]
    assert records.publish(published).folder == published.folder
    assert list(runs.every()) == []  # the folder in the store is no training run
    file = published.folder / records.ARRAYS
    file.write_bytes(b"")
    records.publish(record)  # again: it is replaced
    assert file.stat().st_size > 0


@pytest.mark.parametrize(
    "damage",
    [
        lambda text, arrays: arrays.unlink(),
        lambda text, arrays: arrays.write_bytes(b"no archive"),
        lambda text, arrays: arrays.write_bytes(arrays.read_bytes()[:-100]),
        lambda text, arrays: arrays.write_bytes(findings(41, 30).arrays()),
        lambda text, arrays: text.write_text('{"format": 1}'),
        lambda text, arrays: text.write_text(text.read_text().replace("9000", "9001")),
    ],
)
def test_damaged_records_are_named(store, damage):
    folder = save(store).folder
    damage(folder / records.RECORD, folder / records.ARRAYS)
    with pytest.raises(RunError, match="run again") as told:
        records.read(folder)
    assert str(folder / records.RECORD) in str(told.value)


@pytest.mark.parametrize(
    "part", ["scores", "errors", "points", "overlaps", "heldout_scores", "others"]
)
def test_findings_of_parts_that_do_not_fit_are_refused(part):
    whole = findings(40, 30)
    short = replace(whole, **{part: getattr(whole, part)[1:]})
    with pytest.raises(ValueError, match="do not fit each other"):
        restore(short.about(), short.arrays())
    with pytest.raises(ValueError, match="do not fit each other"):
        restore(whole.about() | {"faces": ["mtfl"]}, whole.arrays())


def test_records_of_the_first_format_have_no_digests(store):
    record = save(store)
    file = record.folder / records.RECORD
    text = json.loads(file.read_text())
    first = {name: value for name, value in text.items() if not name.startswith("digest")}
    file.write_text(json.dumps(first | {"format": 1}))
    again = records.read(record.folder)
    assert (again.experiment, again.history) == (record.experiment, record.history)
    assert again.findings.arrays() == record.findings.arrays()
