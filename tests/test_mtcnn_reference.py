"""Public detectors: what the script writes is scored as a cascade's findings are, and kept."""

import json
import subprocess
import sys
import zipfile
from argparse import Namespace

import numpy as np
import pytest
import torch
from PIL import Image
from test_mtcnn_evaluate import FACE, photo_set

from dclib import paths
from dclib.cli import cascades
from dclib.errors import RunError
from dclib.mtcnn import evaluate, reference
from dclib.mtcnn.detect import Detections
from dclib.study.speed import detection

BOX = [5, 5, 25, 25]
FACES = photo_set([[BOX]] * 3, points=[FACE[None]] * 3)


@pytest.fixture
def sets(monkeypatch, tmp_path):
    """The two photo sets, and one picture."""
    monkeypatch.setenv("DCLIB_RESULTS", str(tmp_path / "results"))
    for module in (reference, evaluate):
        monkeypatch.setattr(module, "load", lambda name: (FACES.subset([]), FACES))
    picture = evaluate.Picture("x.jpg", FACES.read(0))
    monkeypatch.setattr(evaluate, "pictures", lambda faces: {"group": picture, "other": picture})


def told(**changes):
    """Found, missed, and found with points 3 and 4 px off (0.5 of 10 px)."""
    nothing = {"boxes": [], "scores": [], "points": []}
    right = {"boxes": [BOX], "scores": [0.9], "points": [FACE.tolist()]}
    wrong = {"boxes": [BOX], "scores": [0.8], "points": [(FACE + np.array([3, 4])).tolist()]}
    return {
        "detector": "facenet-pytorch",
        "settings": {"minimum": 20, "thresholds": [0.6, 0.7, 0.7]},
        "versions": {"facenet-pytorch": "2.6.0", "torch": "2.2.2"},
        "python": "3.11.7",
        "seconds": 12.5,
        "photos": {"0.png": right, "1.png": nothing, "2.png": wrong, "x.jpg": right},
    } | changes


def written(tmp_path, **changes):
    file = tmp_path / "found.json"
    file.write_text(json.dumps(told(**changes)))
    return file


def test_scores_worked_by_hand(sets, tmp_path):
    scored = reference.score(written(tmp_path))
    found = scored.findings
    assert found.failure_rate(missed_fail=True) == pytest.approx(2 / 3)
    assert found.failure_rate(missed_fail=False) == 1 / 2
    assert found.mean_error() == pytest.approx(0.25)
    assert found.missed() == 1
    assert found.stages == {"O": pytest.approx(2 / 3)}
    assert len(found.pictures["group"]["boxes"]) == 1
    assert scored.about.startswith("facenet-pytorch 2.6.0 with its own weights, faces of 20 pixels")


def test_scores_are_kept_and_found(sets, tmp_path, capsys):
    assert reference.find() == {}
    cascades.detectors(Namespace(time=False, package=None, file=[written(tmp_path)]))
    assert "66.67%, of the found faces 50.00%; mean error 0.2500; 1 of 3" in capsys.readouterr().out
    kept = reference.find()["facenet-pytorch"]
    assert kept.environment["versions"]["torch"] == "2.2.2"
    np.testing.assert_allclose(kept.findings.errors, [0, np.nan, 0.5], atol=1e-4)
    np.testing.assert_allclose(kept.findings.points[0], FACE)


def test_missing_photos_are_named_but_pictures_left_out(sets, tmp_path):
    photos = told()["photos"]
    del photos["x.jpg"]
    assert reference.score(written(tmp_path, photos=photos)).findings.pictures == {}
    del photos["1.png"]
    with pytest.raises(RunError, match=r"lacks 1 of 3 photos of coloured, such as 1\.png"):
        reference.score(written(tmp_path, photos=photos))


@pytest.mark.parametrize(
    "changes",
    [
        {"photos": []},
        {"photos": {"0.png": {"boxes": [[1, 2]], "scores": [0.5], "points": []}}},
        {"photos": {"0.png": {"boxes": []}}},
        {"settings": None},
        {"versions": {}},
    ],
)
def test_files_that_hold_no_detections(sets, tmp_path, changes):
    with pytest.raises(RunError, match="holds no detections"):
        reference.score(written(tmp_path, **changes))


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"format": 0}', '{"format": 1}', '{"format": 1, "findings": {}}']
)
def test_damaged_scores_are_named(sets, text):
    file = reference.path("facenet-pytorch")
    file.parent.mkdir(parents=True)
    file.write_text(text)
    told = "has format 0, this version reads 1" if "0" in text else "holds no scores"
    with pytest.raises(RunError, match=rf"facenet-pytorch\.json {told}"):
        reference.find()


def test_nothing_to_score_and_no_package_to_time(tmp_path):
    for words in ({"package": None, "time": False}, {"package": None, "time": True}):
        with pytest.raises(RunError, match="name files with detections"):
            cascades.detectors(Namespace(file=[], **words))
    with pytest.raises(RunError, match=r"no facenet-pytorch in .*nowhere: unpack its wheel"):
        cascades.detectors(Namespace(file=[], package=[tmp_path / "nowhere"], time=True))


def test_a_package_that_lacks_what_it_needs_is_named(monkeypatch, tmp_path):
    (tmp_path / "facenet_pytorch.py").write_text("import what_it_needs")
    monkeypatch.setattr(detection.public, "stages", lambda folder: {})
    monkeypatch.setattr(detection, "Cascade", lambda stages: None)
    with pytest.raises(RunError, match=r"facenet-pytorch in .* cannot be imported .*what_it_needs"):
        detection.measure([tmp_path])


def test_published_weights_are_scored_by_our_own_detection(sets, monkeypatch, capsys, tmp_path):
    """Which here finds every face with its points 3 and 4 px off, and only those."""
    found = Detections(
        np.array([BOX], np.float32), np.ones(1, np.float32), FACE[None] + np.array([3, 4])
    )
    candidates = torch.tensor([BOX], dtype=torch.float32), torch.ones(1), None
    cascade = Namespace(detect=lambda *_: found, candidates=lambda *_: candidates)
    monkeypatch.setattr(reference.public, "stages", lambda folder: folder)
    monkeypatch.setattr(reference, "Cascade", lambda stages, mirrored: cascade)
    cascades.detectors(Namespace(time=False, file=[], package=[tmp_path]))
    assert "failure rate 100.00%" in capsys.readouterr().out
    kept = reference.find()["published weights"]
    assert kept.findings.stages == {"P": 1.0, "R": 1.0, "O": 1.0}
    assert kept.environment["settings"]["minimum"] == 20.0


def test_times_of_all_and_what_each_found(monkeypatch, tmp_path, capsys):
    """With packages of the same names, and a cascade that finds nothing."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "facenet_pytorch.py").write_text(FAKE)
    package(tmp_path / "b", "mtcnn", "1.0.0", FAKE_MTCNN)
    for name in ("facenet_pytorch", "mtcnn"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    one_thread = Namespace(
        set_intra_op_parallelism_threads=lambda n: n, set_inter_op_parallelism_threads=lambda n: n
    )
    tensorflow = Namespace(config=Namespace(threading=one_thread))
    monkeypatch.setitem(sys.modules, "tensorflow", tensorflow)
    monkeypatch.setenv("DCLIB_RESULTS", str(tmp_path / "results"))
    seen = {"crops": [FACES.read(1)] * 2, "group": [FACES.read(2)]}
    monkeypatch.setattr(detection, "photos", lambda: seen)
    monkeypatch.setattr(detection.public, "stages", lambda folder: {})
    monkeypatch.setattr(detection, "Cascade", lambda stages: Namespace(detect=lambda pixels: []))
    before = list(sys.path)
    cascades.detectors(Namespace(time=True, package=[tmp_path / "a", tmp_path / "b"], file=[]))
    told = capsys.readouterr().out
    assert "as fast as facenet-pytorch; faces in 2 photos: 0, and 4 by facenet-pytorch" in told
    assert "as fast as mtcnn; faces in 2 photos: 0, and 6 by mtcnn" in told
    record = detection.read()
    assert record["photos"]["crops"] == {"count": 2, "size": [80, 60]}
    assert record["versions"] == {"facenet-pytorch": "", "mtcnn": "1.0.0"}
    assert {len(times) for of in record["seconds"].values() for times in of.values()} == {7}
    assert sys.path == before
    del sys.modules["facenet_pytorch"], sys.modules["mtcnn"]


def test_how_many_times_as_fast_is_told_by_round_and_package():
    times = {"dclib": [1.0, 2.0], "facenet-pytorch": [2.0, 6.0], "mtcnn": [1.0, 1.0]}
    found = detection.ratios({"seconds": {"crops": times}})
    assert {key: each.tolist() for key, each in found.items()} == {
        ("crops", "facenet-pytorch"): [2.0, 3.0],
        ("crops", "mtcnn"): [1.0, 0.5],
    }


FAKE_MTCNN = """
class MTCNN:
    def __init__(self, device):
        assert device == "CPU:0"
    def detect_faces(self, image, min_face_size, scale_factor, **thresholds):
        assert image.shape[2] == 3 and image.flags.c_contiguous
        assert sorted(thresholds.values()) == [0.6, 0.7, 0.7] and min_face_size == 20
        return [{}, {}, {}]
"""

FAKE = """
import numpy as np
class MTCNN:
    def __init__(self, min_face_size, keep_all):
        assert min_face_size == 20 and keep_all
    def detect(self, image, landmarks=False):
        if image.size == (8, 8):
            return (None, [None], None)[: 2 + landmarks]
        boxes = np.array([[0, 0, 1, 1], image.getbbox()], dtype=object)
        return (boxes, np.array([0.7, 0.9], dtype=object), np.ones((2, 5, 2)))[: 2 + landmarks]
"""


def package(folder, name, number, content=""):
    """A package of the same name in place of a public one."""
    module = name.replace("-", "_")
    about = folder / f"{module}-{number}.dist-info" / "METADATA"
    about.parent.mkdir(parents=True)
    about.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n")
    (folder / f"{module}.py").write_text(content)


def written_by_script(tmp_path, name, *places):
    """What `data_scripts/public_detectors.py` writes, with the packages in a folder."""
    script = paths.root() / "data_scripts" / "public_detectors.py"
    subprocess.run(
        [sys.executable, script, name, "out.json", *places],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "packages")},
        check=True,
        capture_output=True,
    )
    return json.loads((tmp_path / "out.json").read_text())


def test_the_script_reads_photos_wherever_they_are(tmp_path):
    package(tmp_path / "packages", "facenet-pytorch", "2.6.0", FAKE)
    (tmp_path / "folder" / "in").mkdir(parents=True)
    for name, size in (("in/one.png", (30, 20)), ("in/two.jpg", (8, 8)), ("in/note.txt", None)):
        file = tmp_path / "folder" / name
        Image.new("L", size, 255).save(file) if size else file.write_text("no photo")
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for name in ("AFLW/a.png", "lfw/b.png", "lfw/c.png"):
            archive.write(tmp_path / "folder" / "in" / "one.png", name)
    (tmp_path / "list.txt").write_text("lfw\\c.png 1 2 3\n\n")
    places = ["folder", "all.zip:AFLW/", "all.zip@list.txt", "folder/in/one.png"]
    made = written_by_script(tmp_path, "facenet-pytorch", *places)
    names = ["in/one.png", "in/two.jpg", "AFLW/a.png", "lfw/c.png", "one.png"]
    assert list(made["photos"]) == names
    assert made["photos"]["in/one.png"]["boxes"] == [[0, 0, 30, 20], [0, 0, 1, 1]]  # by score
    assert made["photos"]["in/two.jpg"] == {"boxes": [], "scores": [], "points": []}
    assert made["versions"]["facenet-pytorch"] == "2.6.0"


def test_the_script_puts_the_points_of_mtcnn_in_order(tmp_path):
    """That package gives one row a face: photo, box, score, the five x and then the five y."""
    row = [0, 1, 2, 30, 40, 0.5, 10, 20, 15, 11, 19, 5, 6, 7, 8, 9]
    better = [0, 3, 4, 50, 60, 0.75, *range(10)]
    for name, number, content in (
        ("mtcnn", "1.0.0", FAKE_NUMPY.format(rows=[row, better])),
        ("tensorflow", "2.21.0", FAKE_TENSORFLOW),
        ("tensorflow_cpu", "2.21.0", ""),
    ):
        package(tmp_path / "packages", name, number, content)
    Image.new("L", (80, 60)).save(tmp_path / "one.png")
    found = written_by_script(tmp_path, "mtcnn", "one.png")["photos"]["one.png"]
    assert found["boxes"] == [[3, 4, 50, 60], [1, 2, 30, 40]]
    assert found["points"][1] == [[10, 5], [20, 6], [15, 7], [11, 8], [19, 9]]


FAKE_NUMPY = """
class MTCNN:
    def __init__(self, device):
        pass
    def detect_faces(self, image, **settings):
        return {rows}
"""

FAKE_TENSORFLOW = """
class threading:
    set_intra_op_parallelism_threads = set_inter_op_parallelism_threads = int
class config:
    threading = threading
"""
