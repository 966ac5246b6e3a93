"""The command line: `python -m dclib COMMAND --help`."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dclib.errors import DataError, RunError

if TYPE_CHECKING:
    from dclib.experiment import Experiment

# The fields of an experiment that the command line may change.
CHANGES = (
    *("dataset", "train_faces", "width", "resolution", "epochs", "batch", "lr", "weighting"),
    "pretrained",
)

# Commands import what they need when they run, so that --help answers at once.


def prepare_data(options: argparse.Namespace) -> None:
    from dclib import data

    print(data.prepare(options.name, options.source))


def _experiments(options: argparse.Namespace) -> "list[Experiment]":
    from dclib import plan, runs

    if options.dataset and (options.run or options.plan):
        raise RunError("--data goes with --method: a plan and a run have data of their own")
    if options.run:
        return [runs.load(options.run).experiment]
    if options.plan:
        chosen = plan.experiments(options.plan, options.preset)
        if options.methods:
            chosen = [e for e in chosen if e.label in options.methods]
        return [e for e in chosen if options.tries is None or e.try_ < options.tries]
    if not options.method:
        raise RunError("name what to train: --method METHOD, --plan FIGURE or --run ID")
    changes = {name: value for name in CHANGES if (value := getattr(options, name)) is not None}
    if changes.get("train_faces") == "all":
        changes["train_faces"] = None
    underlying = options.underlying or _underlying(options.method)
    made = plan.experiment(options.preset, options.method, underlying, **changes)
    return [replace(made, try_=options.try_)]


def _underlying(method: str) -> str:
    from dclib.methods import METHODS

    return (METHODS[method].underlying if method in METHODS else None) or "resnet18"


def face_count(word: str) -> int | str:
    """A number of faces, or "all"."""
    return word if word == "all" else int(word)


def train(options: argparse.Namespace) -> None:
    from dclib import runs
    from dclib.sweep import require

    if options.run:
        from dclib.train import train as again  # also where a record is, to have its weights

        print(again(_experiments(options)[0]).folder)
        return
    records = require(_experiments(options))
    hidden = all(record.experiment.split == "validation" for record in records)
    table = runs.table(records)
    # no test figure is shown before the choices are made, nor for single runs
    shown = table if hidden else table.drop(columns=["failure rate", "mean error", "accuracy"])
    print(shown.to_string(index=False))
    if options.publish:
        for record in records:
            print(runs.publish(record).folder)


def pretrain(options: argparse.Namespace) -> None:
    from dclib import pretraining

    run = pretraining.experiment(options.underlying, options.width, options.resolution)
    record, file = pretraining.pretrain(run)
    if options.publish:
        file = pretraining.publish(record, file)
    print(f"run {record.id}: {pretraining.accuracy(record):.1%} of the validation photos named")
    print(f"weights in {file}")


def select(options: argparse.Namespace) -> None:
    from dclib import data, plan, runs, selection
    from dclib.batches import face_sets

    grid = [e for name in plan.GRIDS for e in plan.experiments(name, options.preset)]
    records = runs.find(grid)
    if not records:
        raise RunError(
            f"no run of the grid is there: `python -m dclib train --plan rates --preset"
            f" {options.preset}` makes them"
        )
    e = records[0].experiment
    weights = selection.pose_weights(face_sets(e)[2], data.load(e.dataset, e.resolution)[1])
    selection.write(records, weights)
    own = [e for name in plan.OWN_GRIDS for e in plan.experiments(name, options.preset)]
    table = selection.write(list({r.id: r for r in [*records, *runs.find(own)]}.values()), weights)
    print(table.to_string(index=False))


def measure_cost(options: argparse.Namespace) -> None:
    from dclib import cost

    record = cost.measure(options.preset, options.methods or (), options.rounds, report=print)
    print(cost.table(record).to_string())
    print(cost.write(record))


def list_runs(options: argparse.Namespace) -> None:
    from dclib import runs

    table = runs.table(list(runs.every()))
    print("no runs yet" if table.empty else table.to_string(index=False))


def show_run(options: argparse.Namespace) -> None:
    from dclib import runs

    record = runs.load(options.run)
    print(record.experiment.title)
    print(json.dumps(json.loads(record.experiment.to_json()), indent=1))
    print(json.dumps(record.environment, indent=1))
    print(runs.table([record]).T.to_string(header=False))


def verify_runs(options: argparse.Namespace) -> None:
    from dclib import runs
    from dclib.verify import verify

    records = [runs.load(run) for run in options.run] if options.run else list(runs.every())
    differing = 0
    for record in records:
        wrong = verify(record)
        differing += bool(wrong)
        print(f"{record.id} {record.experiment.title}: {'; '.join(wrong) or 'verified'}")
    if differing:
        raise RunError(f"{differing} of {len(records)} records differ from their predictions")


def publish_runs(options: argparse.Namespace) -> None:
    from dclib import runs

    for run in options.run:
        print(runs.publish(runs.load(run)).folder)


def predict(options: argparse.Namespace) -> None:
    from dclib import runs
    from dclib.predict import open_photo
    from dclib.predict import predict as run_on

    photo = open_photo(options.photo)
    prediction = run_on(runs.load(options.run), photo, options.box and tuple(options.box))
    if options.draw:
        from PIL import ImageDraw

        pen = ImageDraw.Draw(photo)
        radius = max(2, min(photo.size) / 80)
        for x, y in prediction.landmarks:
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill="#0072b2")
        photo.save(options.draw)
    print(json.dumps(prediction.to_dict()))


def report(options: argparse.Namespace) -> None:
    from dclib import report as building

    building.run(options.preset, options.publish, options.notebooks or None)


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser("python -m dclib", description=__doc__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, do: object, about: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=about, description=about)
        made.set_defaults(do=do)
        return made

    data = command("data", prepare_data, "find, verify and decode a data set")
    data.add_argument("name", help="of a data set: mtfl, or what your folder is to be called")
    data.add_argument("source", nargs="?", type=Path, help="archive or folder to take it from")

    training = command("train", train, "train one run, or all runs of a figure")
    training.add_argument("--preset", default="cpu", help="smoke, cpu or paper (default: cpu)")
    training.add_argument("--data", dest="dataset", help="a data set, instead of the preset's")
    training.add_argument("--method", help="a method by the paper's name, such as DCNet")
    training.add_argument("--underlying", help="underlying network (default: the method's)")
    training.add_argument("--try", dest="try_", type=int, default=0, help="the try (default: 0)")
    for name, kind in {"width": float, "resolution": int, "epochs": int, "batch": int}.items():
        training.add_argument(f"--{name}", type=kind, help="instead of the preset's")
    training.add_argument("--lr", type=float, help="learning rate, instead of the selected one")
    training.add_argument("--train-faces", type=face_count, help="how many, or all of them: all")
    training.add_argument("--weighting", help="per_output or per_task")
    training.add_argument("--pretrained", help="columns start from: imagenet or tiny-imagenet")
    training.add_argument("--plan", help="all runs of a figure: rates, fig3, ...")
    training.add_argument("--methods", nargs="+", help="of a plan, these methods only")
    training.add_argument("--tries", type=int, help="of a plan, the first so many tries")
    training.add_argument("--run", help="a run by its id, once more: its weights are then here")
    training.add_argument("--publish", action="store_true", help="copy records to results/")

    starting = command("pretrain", pretrain, "train weights that columns may start from")
    starting.add_argument("underlying", help="resnet18 or alexnet")
    starting.add_argument("--width", type=float, default=0.25, help="its width (default: 0.25)")
    starting.add_argument("--resolution", type=int, help="of the photos (default: the preset's)")
    starting.add_argument("--publish", action="store_true", help="copy them to results/")

    choice = command("select", select, "choose learning rates from the runs of the grid")
    choice.add_argument("--preset", default="cpu")

    costing = command("cost", measure_cost, "measure what a training step of each method costs")
    costing.add_argument("--preset", default="cpu")
    costing.add_argument("--methods", nargs="+", help="these methods only")
    costing.add_argument("--rounds", type=int, default=7, help="how often all take turns")

    kept = command("runs", list_runs, "list, show, verify or publish run records")
    actions = kept.add_subparsers(required=True, metavar="ACTION")
    actions.add_parser("list", help="all runs").set_defaults(do=list_runs)
    showing = actions.add_parser("show", help="one run")
    showing.add_argument("run")
    showing.set_defaults(do=show_run)
    for name, do, some in (("verify", verify_runs, "*"), ("publish", publish_runs, "+")):
        action = actions.add_parser(name, help=f"{name} runs")
        action.add_argument("run", nargs=some)
        action.set_defaults(do=do)

    seeing = command("predict", predict, "landmarks and labels of the face in a photo")
    seeing.add_argument("photo", type=Path)
    seeing.add_argument("--run", required=True, help="the run whose network predicts")
    seeing.add_argument("--box", nargs=4, type=float, metavar=("LEFT", "TOP", "RIGHT", "BOTTOM"))
    seeing.add_argument("--draw", type=Path, help="write the photo with its landmarks here")

    making = command("report", report, "execute the notebooks and build the book")
    making.add_argument("notebooks", nargs="*", help="some notebooks only, by name")
    making.add_argument("--preset", default="smoke", help="smoke, cpu or paper (default: smoke)")
    making.add_argument("--publish", action="store_true", help="renew the pages in book/")
    return top


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; user-facing errors become one line and exit status 1."""
    options = parser().parse_args(words)
    try:
        options.do(options)
    except (DataError, RunError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of our lines has seen enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        return 0
    except KeyboardInterrupt:
        print("interrupted: finished work is kept, the same command goes on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
