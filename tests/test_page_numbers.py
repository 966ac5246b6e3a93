"""Numbers on the committed pages, computed again from the committed records by other code.

Nothing of dclib is used: records are opened as `json` and `numpy` see them, and what the pages'
tables hold is recomputed from the errors of each face.
"""

import base64
import csv
import io
import json
import lzma
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
OUTPUT = ROOT / "book" / "_static" / "output"
UNITS = 2000  # steps of an error: 1/2000 of the interocular distance, rounded up
FAILURE = 200  # steps: a tenth


class Run:
    """A record, read by hand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.name
        self.about = json.loads((folder / "record.json").read_text())
        self.e = self.about["experiment"]
        packed = lzma.decompress((folder / "outcomes.npz.xz").read_bytes())
        with np.load(io.BytesIO(packed)) as arrays:
            self.arrays = dict(arrays)
        alone = self.e["related"] and not any(weight for _, weight in self.e["related"])
        self.label = self.e["method"] + (" (related 0)" if alone else "")

    def failed(self, decoder: str) -> np.ndarray:
        return self.arrays[f"errors.{decoder}"].astype(int) > FAILURE  # (epochs, faces)


@pytest.fixture(scope="module")
def every() -> list[Run]:
    return [Run(path.parent) for path in sorted((ROOT / "results/runs").glob("*/record.json"))]


def rows(name: str) -> list[dict[str, str]]:
    with (OUTPUT / f"{name}.csv").open(newline="") as lines:
        return list(csv.DictReader(lines))


def chosen(every: list[Run], **fields: object) -> dict[str, list[Run]]:
    """Runs of these settings by label."""
    found: dict[str, list[Run]] = {}
    for run in every:
        if all(run.e.get(field) == value for field, value in fields.items()):
            found.setdefault(run.label, []).append(run)
    return found


def rate(runs: list[Run], decoder: str) -> float:
    return 100 * float(np.mean([run.failed(decoder).mean() for run in runs]))


def interval(one: list[Run], other: list[Run] | None, decoder: str) -> tuple[float, float]:
    """Faces, and within them tries, drawn again 2,000 times, by a generator of its own."""
    rng = np.random.default_rng(2026)
    groups = [np.stack([r.failed(decoder).mean(axis=0) for r in g]) for g in (one, other) if g]
    faces = groups[0].shape[1]
    drawn = []
    for _ in range(2000):
        at = rng.integers(faces, size=faces)
        means = [
            np.mean([group[t][at].mean() for t in rng.integers(len(group), size=len(group))])
            for group in groups
        ]
        drawn.append(means[0] - means[1] if other else means[0])
    low, high = np.percentile(drawn, [2.5, 97.5])
    return 100 * low, 100 * high


FIG3 = {
    "preset": "cpu",
    "dataset": "mtfl",
    "split": "test",
    "underlying": "resnet18",
    "weighting": "per_output",
    "pretrained": False,
    "train_faces": 2000,
    "epochs": 40,
    "width": 0.25,
}


@pytest.fixture(scope="module")
def fig3(every) -> dict[str, list[Run]]:
    """Those at each method's own rate: the one that the table of choices marks."""
    with (ROOT / "results/selection.csv").open(newline="") as lines:
        picked = {
            (row["method"], float(row["lr"]), float(row["unit_rate"]))
            for row in csv.DictReader(lines)
            if row["chosen"] == "True"
            and row["preset"] == "cpu"
            and row["underlying"] == "resnet18"
        }
    return {
        label: own
        for label, runs in chosen(every, **FIG3).items()
        if (
            own := [
                r
                for r in runs
                if (r.e["method"], r.e["lr"], r.e["unit_rate"]) in picked
                and not r.e.get("precision")
            ]
        )
    }


def test_fig3_failure_rates_errors_and_areas(fig3):
    table = rows("mtfl_fig3_table")
    assert len(table) >= 8
    for row in table:
        runs = fig3[row["method"]]
        assert len(runs) == int(row["tries"])
        assert float(row["bin"]) == pytest.approx(rate(runs, "bin"), abs=1e-6)
        assert float(row["soft"]) == pytest.approx(rate(runs, "soft"), abs=1e-6)
        steps = np.stack([r.arrays["errors.bin"].astype(float) for r in runs])
        errors = np.maximum(steps - 0.5, 0) / UNITS
        assert float(row["mean error"]) == pytest.approx(100 * errors.mean(), abs=1e-6)
        area = np.maximum(0, 1 - errors / 0.1).mean()
        assert float(row["AUC"]) == pytest.approx(100 * area, abs=1e-6)


def test_fig3_intervals(fig3):
    """By other draws: their ends scatter by some hundredths of a point."""
    for row in rows("mtfl_fig3_table"):
        low, high = interval(fig3[row["method"]], None, "bin")
        assert float(row["bin low"]) == pytest.approx(low, abs=0.15)
        assert float(row["bin high"]) == pytest.approx(high, abs=0.15)


def test_fig3_differences_and_their_verdicts(fig3):
    for row in rows("mtfl_against"):
        other = fig3[row["DCNet minus"]]
        ends = {}
        for decoder in ("bin", "soft"):
            gap = rate(fig3["DCNet"], decoder) - rate(other, decoder)
            assert float(row[decoder]) == pytest.approx(gap, abs=1e-6)
            low, high = ends[decoder] = interval(fig3["DCNet"], other, decoder)
            assert float(row[f"{decoder} low"]) == pytest.approx(low, abs=0.15)
            assert float(row[f"{decoder} high"]) == pytest.approx(high, abs=0.15)
        near = any(abs(end) < 0.15 for pair in ends.values() for end in pair)
        if not near:  # of zero, where other draws may decide otherwise
            below = all(high < 0 for _, high in ends.values())
            above = all(low > 0 for low, _ in ends.values())
            word = "supported" if below else "contradicted" if above else "inconclusive"
            assert word in row["verdict"]


def test_accuracies_of_related_tasks(fig3):
    for row in rows("mtfl_related"):
        for task in ("gender", "smile", "glasses", "profile"):
            if row[task]:
                shares = [r.arrays[f"accuracy.{task}"].mean() for r in fig3[row["method"]]]
                assert float(row[task]) == pytest.approx(100 * np.mean(shares), abs=1e-6)


def test_table_1_and_the_differences_below_it(every):
    """Both decoders, over the last epochs and the tries."""
    runs = {
        ratio: chosen(every, preset="cpu", dataset=f"aflw-{round(100 * ratio)}", related=[])
        for ratio in (0.1, 0.3, 0.5, 0.7, 0.9)
    }
    cells = rows("aflw_table1_cells")
    assert len(cells) == 5 * 4
    for row in cells:
        own = runs[float(row["train / test"].split(" / ")[0])][row["method"]]
        assert len(own) == int(row["tries"])
        for decoder in ("bin", "soft"):
            assert float(row[decoder]) == pytest.approx(rate(own, decoder), abs=1e-6)
    for row in rows("aflw_differences"):
        at = runs[float(row["train / test"].split(" / ")[0])]
        other = at[row["DCNet minus"]]
        for decoder in ("bin", "soft"):
            gap = rate(at["DCNet"], decoder) - rate(other, decoder)
            assert float(row[decoder]) == pytest.approx(gap, abs=1e-6)


def test_changes_of_fig6(fig3):
    """From the packed bits of the evaluations, counted here."""
    after, before = [], []
    for file in sorted((ROOT / "results/ablation").glob("*/ablation.json")):
        kept = json.loads(file.read_text())
        record = next((r for r in fig3["DCNet"] if file.parent.name == r.folder), None)
        if record is None:
            continue
        packed = lzma.decompress(base64.b64decode(kept["failed"]))
        faces, tasks, blocks = kept["faces"], len(kept["tasks"]), kept["blocks"]
        bits = np.unpackbits(np.frombuffer(packed, np.uint8)).astype(bool)
        intact, flips = bits[:faces], bits[2 * faces : 2 * faces + 4 * tasks * blocks * faces]
        flips = flips.reshape(2, 2, tasks, blocks, faces)  # content, decoder, task, block, face
        assert (intact == record.failed("bin")[-1]).all()
        before.append(intact.mean())
        after.append((flips[:, 0] ^ intact).mean(axis=-1))
    assert len(before) == 3
    change = 100 * (np.mean(after, axis=0) / np.mean(before) - 1)  # (content, task, block)
    for at, name in enumerate(("ablation_zeros", "ablation_other_face")):
        shown = [float(row["bin"]) for row in rows(name)]
        assert shown == pytest.approx(change[at].ravel().tolist(), abs=1e-6)
