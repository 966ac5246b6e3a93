"""Trained networks at work."""

import argparse
import json
from typing import TYPE_CHECKING, Any

from dclib.cli.options import command, number, option, path, run, say
from dclib.errors import RunError

if TYPE_CHECKING:
    from dclib.records.runs import Record

WHOSE = "whose network predicts: its id, or its start (default: the one that comes with dclib)"
FINDS = "the cascade that finds them, or its start (default: the one that comes with dclib)"
BOX = "of the face, in pixels (default: the central square)"
ALL = "all faces that a cascade finds, instead of one (by default the one that comes with dclib)"
SHIPPED = "shipped"  # in the place of an id
SIDES = ("LEFT", "TOP", "RIGHT", "BOTTOM")
SMALLEST = "side of the smallest faces looked for (default: 20)"


@command(
    "predict",
    "landmarks and labels of the face in a photo",
    option("photo", "a JPEG or PNG", path, "PHOTO"),
    option("--run", WHOSE, metavar="ID"),
    option("--box", BOX, number(float), SIDES, nargs=4),
    option("--cascade", ALL, metavar="ID", nargs="?", const=SHIPPED),
    option("--draw", "write the photo with its landmarks here", path, "FILE"),
    clash=("box", "cascade"),
)
def predict_photo(options: argparse.Namespace) -> None:
    from dclib import paths
    from dclib.data.photo import spare
    from dclib.use import inference
    from dclib.use.prediction import draw, open_photo, predict

    photo, record = open_photo(options.photo), _run(options.run)
    if options.draw:
        spare(options.draw, [options.photo])
    if record.weights and not (paths.store() / record.id / inference.FILE).exists():
        say(f"preparing the network of run {record.id} for its first prediction: some seconds")
    if options.cascade:
        from dclib.mtcnn import pipeline

        named = None if options.cascade == SHIPPED else options.cascade
        faces = pipeline.predict_all(record, pipeline.load(named), photo)
        landmarks = [point for face in faces for point in face.prediction.landmarks]
        found: dict[str, Any] = {"faces": [face.to_dict() for face in faces]}
    else:
        prediction = predict(record, photo, options.box and tuple(options.box))
        landmarks, found = list(prediction.landmarks), prediction.to_dict()
    print(_json(found, f"run {record.id}", f"train --run {record.id}"), flush=True)
    if options.draw:
        draw(photo, landmarks, options.draw)


@command(
    "detect",
    "find faces in photos by a cascade, section 4.5",
    option("photo", "JPEG or PNG", path, "PHOTO", nargs="+"),
    option("--run", FINDS, metavar="ID"),
    option("--minimum", SMALLEST, number(float, most=1e5), "PIXELS", default=20.0),
    option("--draw", "write the photos with their faces here", path, "FOLDER"),
)
def detect(options: argparse.Namespace) -> None:
    from dclib.mtcnn import pipeline
    from dclib.mtcnn.detect import Settings

    cascade, settings = pipeline.load(options.run), Settings(minimum=options.minimum)
    places = pipeline.places(options.photo, options.draw) if options.draw else {}
    for photo in options.photo:
        found = cascade.detect(photo, settings)
        told = {"photo": str(photo), **found.to_dict()}
        again = f"cascade {options.run or 'ID'}"
        print(_json(told, f"cascade {options.run or SHIPPED}", again), flush=True)
        if options.draw:
            pipeline.draw(photo, found, places[photo])


def _run(name: str | None) -> "Record":
    from dclib.records import runs
    from dclib.use.shipped import chosen

    return chosen(runs.SHELF, name, "train --method DCNet --preset cpu")


def _json(found: dict[str, Any], whose: str, again: str) -> str:
    """JSON, which knows no NaN.

    Raises:
        RunError: there is one, which only damaged weights give.
    """
    try:
        return json.dumps(found, allow_nan=False)
    except ValueError:
        raise RunError(
            f"{whose} predicts what is no number, its weights are damaged: `python -m dclib"
            f" {again}` makes them anew"
        ) from None


@command(
    "export",
    "write the network of a run as an ONNX file",
    run(),
    option("file", "what is written", path, "FILE.onnx"),
)
def export_network(options: argparse.Namespace) -> None:
    from dclib.use import inference

    if options.file.suffix != ".onnx" or (options.file.exists() and not options.file.is_file()):
        raise RunError(f"{options.file} cannot be written: name a file that ends in .onnx")
    record = _run(options.run)
    net, resolution = inference.network(record), record.experiment.resolution
    print(inference.export(net, options.file, resolution, {"run": record.id}))
