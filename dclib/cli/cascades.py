"""Cascades, section 4.5."""

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dclib.cli import options as common
from dclib.cli.options import PUBLISH, command, option, path, run, say, switch
from dclib.cli.records import verify_each
from dclib.errors import RunError

if TYPE_CHECKING:
    from dclib.mtcnn.experiment import CascadeExperiment

PLANS = "mtcnn: all cascades of section 4.5 instead; rates: those that O's rate is chosen by"
PACKAGE = "the wheel of facenet-pytorch, unpacked: score its weights in our own detection"
TIME = "time our detection beside that package instead, and beside mtcnn in another --package"


def _experiments(options: argparse.Namespace) -> "list[CascadeExperiment]":
    from dclib.mtcnn import presets, records

    if options.run:
        return [records.load(run).experiment for run in options.run]
    if options.plan == "rates":
        if options.tries is not None:
            raise RunError("--tries is for --plan mtcnn: a grid of rates has one try")
        return presets.grid(options.preset)
    if options.plan:
        preset = options.preset
        planned = dict.fromkeys([*presets.plan(preset), *presets.own_rates(preset)])
        return [e for e in planned if options.tries is None or e.try_ < options.tries]
    return [presets.experiment(options.preset, options.method, try_=options.try_)]


@command(
    "cascade",
    "train and score a cascade of MTCNN, section 4.5",
    run("cascades by their ids: to have their weights", nargs="*"),
    option("--method", "DC-MTCNN, MTCNNx or MTCNN"),
    option("--plan", PLANS, metavar="FIGURE", choices=["mtcnn", "rates"]),
    common.preset(None),
    common.seed,
    common.tries,
    common.publish,
    switch("--list", "show the cascades that are there"),
    switch("--verify", "recompute errors from landmarks, of those named or of all"),
    ways={
        "list": {},
        "verify": {"run": []},
        "run": PUBLISH,
        "plan": {"preset": "cpu", "tries": None, **PUBLISH},
        "method": {"preset": "cpu", "try_": 0, **PUBLISH},
    },
)
def cascade(options: argparse.Namespace) -> None:
    """Train what is missing; a line for each record, without what it found."""
    if options.list or options.verify:
        return _verify(options) if options.verify else _list()
    from dclib.mtcnn import rates, records
    from dclib.mtcnn.run import require

    made = []
    for experiment in _experiments(options):
        (record,) = require([experiment], weights=bool(options.run))
        if options.publish:
            record = records.publish(record)
        minutes = sum(record.environment["seconds"].values()) / 60
        print(f"{record.id} {record.experiment.title}: {minutes:.1f} minutes, {record.folder}")
        made.append(record)
    if options.plan == "rates":
        for row in rates.write(made):
            mark = ", chosen" if row["chosen"] == "True" else ""
            print(f"{row['method']}, lr of O {row['lr']}: held-out error {row['error']}{mark}")
        print(rates.path())


def _list() -> None:
    from dclib.mtcnn import records

    made = list(records.SHELF.readable(say))
    print("\n".join(f"{r.id} {r.experiment.title}" for r in made) if made else "no cascades yet")


def _verify(options: argparse.Namespace) -> None:
    from dclib.mtcnn import records
    from dclib.mtcnn.evaluate import verify

    verify_each(records.SHELF, options.run, lambda record: verify(record.findings), "landmarks")


@command(
    "detectors",
    "score what public detectors found; writes results/detectors/",
    option("file", "written by data_scripts/public_detectors.py", path, "FILE.json", nargs="*"),
    option("--package", PACKAGE, path, "FOLDER", action="append"),
    switch("--time", TIME),
    ways={"time": {"package": []}, "": {"file": [], "package": []}},
)
def detectors(options: argparse.Namespace) -> None:
    """Score files or weights, or measure the pace; say what was found and where it is kept."""
    if not options.package and (options.time or not options.file):
        raise RunError("name files with detections, or the folder of a --package")
    if options.time:
        return _time(options.package)
    from dclib.mtcnn import reference

    made = [reference.score(file) for file in options.file]
    for folder in options.package or []:
        made.append(reference.score_weights(folder / "facenet_pytorch" / "data"))
    for scored in made:
        found = scored.findings
        print(
            f"{scored.about}: failure rate {found.failure_rate(missed_fail=True):.2%}, of the found"
            f" faces {found.failure_rate(missed_fail=False):.2%}; mean error"
            f" {found.mean_error():.4f}; {found.missed()} of {len(found.scores)} faces missed"
        )
        print(reference.write(scored))


def _time(folders: Sequence[Path]) -> None:
    from dclib.study.speed import detection

    record = detection.measure(folders)
    for (kind, who), each in detection.ratios(record).items():
        count, faces = record["photos"][kind]["count"], record["faces"][kind]
        print(
            f"{kind}: {statistics.median(each):.2f} times as fast as {who}; faces in {count}"
            f" photos: {faces[detection.OURS]}, and {faces[who]} by {who}"
        )
    print(detection.write(record))
