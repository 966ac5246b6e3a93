"""Run a public face detector on photos: public_detectors.py DETECTOR FILE.json PHOTOS...

It needs the package of the detector, NumPy and Pillow, not dclib, and runs in an environment of its
own. DETECTOR is facenet-pytorch or mtcnn, each with the weights and the settings that its package
comes with, but for the smallest face, 20 pixels in both. PHOTOS are files, folders and zip
archives; of an archive `ARCHIVE.zip:FOLDER/` takes one folder only, and `ARCHIVE.zip@LIST.txt` the
photos that the lines of a list begin with. So what section 4.5 scores is

    MTFL.zip:AFLW/ MTFL.zip@testImageList.txt solvay_1927.jpg

and the two photos of WIDER FACE that are shown. What is found is written as the package gives it,
per photo: boxes as left, top, right, bottom; scores; the five points, x then y.
`python -m dclib detectors FILE.json` scores it.
"""

import io
import json
import platform
import sys
import time
import zipfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
from PIL import Image

MINIMUM = 20
SUFFIXES = {".jpg", ".jpeg", ".png"}


def photos(places):
    """The name and the content of each photo; names are paths within the folder or archive."""
    for place in places:
        path, zipped, only = place.partition(".zip")
        if zipped:
            with zipfile.ZipFile(path + zipped) as archive:
                for name in chosen(archive.namelist(), only):
                    yield name, archive.read(name)
        elif Path(place).is_dir():
            for file in sorted(Path(place).rglob("*")):
                if file.suffix.lower() in SUFFIXES:
                    yield file.relative_to(place).as_posix(), file.read_bytes()
        else:
            yield Path(place).name, Path(place).read_bytes()


def chosen(names, only):
    """The photos among an archive's names that lie in a folder (:FOLDER/) or in a list (@LIST)."""
    found = sorted(name for name in names if Path(name).suffix.lower() in SUFFIXES)
    if only.startswith("@"):
        lines = Path(only[1:]).read_text().splitlines()
        listed = {line.split()[0].replace("\\", "/") for line in lines if line.strip()}
        return [name for name in found if name in listed]
    return [name for name in found if name.startswith(only[1:])]


def facenet_pytorch():
    """The detector of facenet-pytorch, whose thresholds are 0.6, 0.7 and 0.7."""
    import torch
    from facenet_pytorch import MTCNN

    torch.set_num_threads(1)
    network = MTCNN(min_face_size=MINIMUM, keep_all=True)

    def detect(image):
        boxes, scores, points = network.detect(image, landmarks=True)
        if boxes is None:
            return np.zeros((0, 4)), np.zeros(0), np.zeros((0, 5, 2))
        return np.array(boxes, float), np.array(scores, float), np.array(points, float)

    return detect, {"thresholds": [0.6, 0.7, 0.7], "factor": 0.709}, ["facenet-pytorch", "torch"]


def mtcnn():
    """The detector of mtcnn, whose thresholds are 0.6, 0.7 and 0.8."""
    import tensorflow
    from mtcnn import MTCNN

    tensorflow.config.threading.set_intra_op_parallelism_threads(1)
    tensorflow.config.threading.set_inter_op_parallelism_threads(1)
    network = MTCNN(device="CPU:0")
    settings = {"thresholds": [0.6, 0.7, 0.8], "factor": 0.709}

    def detect(image):
        rows = network.detect_faces(
            np.asarray(image),
            output_type="numpy",  # whose points are not rounded
            box_format="xyxy",
            min_face_size=MINIMUM,
            threshold_pnet=settings["thresholds"][0],
            threshold_rnet=settings["thresholds"][1],
            threshold_onet=settings["thresholds"][2],
            scale_factor=settings["factor"],
        )
        rows = np.array(rows, float).reshape(-1, 16)  # photo, box, score, five x, five y
        return rows[:, 1:5], rows[:, 5], rows[:, 6:].reshape(-1, 2, 5).transpose(0, 2, 1)

    return detect, settings, ["mtcnn", "tensorflow-cpu"]


DETECTORS = {"facenet-pytorch": facenet_pytorch, "mtcnn": mtcnn}


def main(words):
    if len(words) < 3 or words[0] not in DETECTORS:
        sys.exit(__doc__)
    detect, settings, packages = DETECTORS[words[0]]()
    found, seconds = {}, 0.0
    for name, content in photos(words[2:]):
        image = Image.open(io.BytesIO(content)).convert("RGB")
        start = time.perf_counter()
        boxes, scores, points = detect(image)
        seconds += time.perf_counter() - start
        order = np.argsort(-scores, kind="stable")
        found[name] = {
            "boxes": boxes[order].round(3).tolist(),
            "scores": scores[order].round(5).tolist(),
            "points": points[order].round(3).tolist(),
        }
        if len(found) % 500 == 0:
            print(f"{len(found):,} photos, {seconds:.0f} s", file=sys.stderr, flush=True)
    about = {
        "detector": words[0],
        "settings": {"minimum": MINIMUM, **settings},
        "versions": {name: version(name) for name in packages},
        "python": platform.python_version(),
        "seconds": round(seconds, 1),
        "photos": found,
    }
    Path(words[1]).write_text(json.dumps(about) + "\n")
    print(f"{words[1]}: {len(found):,} photos in {seconds:.0f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
