"""What the commands of section 4.5 do, and their options; `dclib.__main__` adds them to its own.

They import what they need when they run, so that --help answers at once.
"""

import argparse
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dclib.errors import RunError

if TYPE_CHECKING:
    from dclib.mtcnn.experiment import CascadeExperiment

# Adds a sub-command: its name, what it does, a line about it.
Command = Callable[[str, Callable[[argparse.Namespace], None], str], argparse.ArgumentParser]


def register(command: Command) -> None:
    """Add the commands `cascade` and `detectors`."""
    training = command("cascade", cascade, "train and score a cascade of MTCNN, section 4.5")
    training.add_argument("run", nargs="*", help="cascades by their ids: to have their weights")
    training.add_argument("--method", help="DC-MTCNN, MTCNNx or MTCNN")
    training.add_argument("--plan", choices=["mtcnn"], help="all cascades of section 4.5 instead")
    training.add_argument("--preset", default="cpu", help="smoke, cpu or paper (default: cpu)")
    training.add_argument("--try", dest="try_", type=int, default=0, metavar="N")
    training.add_argument("--tries", type=int, metavar="N", help="of a plan, the first tries only")
    training.add_argument("--publish", action="store_true", help="copy records to results/")
    training.add_argument("--list", action="store_true", help="show the cascades that are there")
    recomputing = "recompute landmark errors from landmarks, of the named cascades or of all"
    training.add_argument("--verify", action="store_true", help=recomputing)

    scoring = command("detectors", detectors, "score what public detectors found, section 4.5")
    made = "written by data_scripts/public_detectors.py"
    scoring.add_argument("file", nargs="*", type=Path, metavar="FILE.json", help=made)
    unpacked = "the wheel of facenet-pytorch, unpacked: score its weights in our own detection"
    scoring.add_argument("--package", type=Path, action="append", metavar="FOLDER", help=unpacked)
    timing = "time our detection beside that package instead, and beside mtcnn in another --package"
    scoring.add_argument("--time", action="store_true", help=timing)


def _experiments(options: argparse.Namespace) -> "list[CascadeExperiment]":
    from dclib.mtcnn import presets, records

    if options.run:
        return [records.load(run).experiment for run in options.run]
    if options.plan:
        planned = presets.plan(options.preset)
        return [e for e in planned if options.tries is None or e.try_ < options.tries]
    if not options.method:
        raise RunError("name what to train: --method METHOD, --plan mtcnn or an id")
    return [presets.experiment(options.preset, options.method, try_=options.try_)]


def cascade(options: argparse.Namespace) -> None:
    """Train what is missing; a line for each record, without what it found."""
    if options.list or options.verify:
        return _verify(options) if options.verify else _list()
    from dclib.mtcnn import records
    from dclib.mtcnn.run import require

    for experiment in _experiments(options):
        (record,) = require([experiment], weights=bool(options.run))
        if options.publish:
            record = records.publish(record)
        minutes = sum(record.environment["seconds"].values()) / 60
        print(f"{record.id} {record.experiment.title}: {minutes:.1f} minutes, {record.folder}")


def _list() -> None:
    from dclib.mtcnn import records

    made = list(records.every())
    print("\n".join(f"{r.id} {r.experiment.title}" for r in made) if made else "no cascades yet")


def _verify(options: argparse.Namespace) -> None:
    from dclib.mtcnn import records
    from dclib.mtcnn.evaluate import verify

    made = [records.load(run) for run in options.run] if options.run else list(records.every())
    differing = 0
    for record in made:
        wrong = verify(record.findings)
        differing += bool(wrong)
        print(f"{record.id} {record.experiment.title}: {'; '.join(wrong) or 'verified'}")
    if differing:
        raise RunError(f"{differing} of {len(made)} cascades differ from their landmarks")


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
    from dclib.mtcnn import pace

    record = pace.measure(folders)
    for (kind, who), each in pace.ratios(record).items():
        count, faces = record["photos"][kind]["count"], record["faces"][kind]
        print(
            f"{kind}: {statistics.median(each):.2f} times as fast as {who}; faces in {count}"
            f" photos: {faces[pace.OURS]}, and {faces[who]} by {who}"
        )
    print(pace.write(record))
