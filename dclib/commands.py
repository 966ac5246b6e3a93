"""What the commands do, each given its options; the command line itself is `dclib.__main__`.

They import what they need when they run, so that --help answers at once.
"""

import argparse
import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dclib.errors import RunError

if TYPE_CHECKING:
    from dclib.experiment import Experiment

# The fields of an experiment that the command line may change.
CHANGES = (
    *("dataset", "train_faces", "width", "resolution", "epochs", "batch", "lr", "weighting"),
    *("pretrained", "precision"),
)


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


def train(options: argparse.Namespace) -> None:
    from dclib import runs
    from dclib.sweep import require

    if options.run:
        from dclib.train import train as again  # also where a record is, to have its weights

        print(again(_experiments(options)[0]).folder)
        return
    wanted, budget = _experiments(options), None
    if options.budget_minutes is not None:
        from dclib.campaign import Budget, Estimates

        budget = Budget(options.budget_minutes, Estimates(_say))
    records = require(
        wanted,
        budget=budget,
        workers=options.workers,
        scheduler=options.scheduler,
        done=runs.publish if options.publish else None,  # at once: the next may be interrupted
    )
    if budget:
        print(budget.summary(wanted))
    if not records:
        return
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


def show_plan(options: argparse.Namespace) -> None:
    from dclib import campaign

    estimates = campaign.Estimates(_say)
    for figure in options.figures:
        table = campaign.each_run(figure, options.preset, estimates)
        print(f"{figure}\n{table.to_string(index=False, float_format='{:.2f}'.format)}")
    if not options.figures:
        table, notes = campaign.figures(options.preset, estimates)
        print("\n".join([table.to_string(float_format="{:.2f}".format), *notes]))
    print(estimates)


def ablate(options: argparse.Namespace) -> None:
    from dclib import ablation, plan, runs
    from dclib.ablating import collaborates, evaluate

    if options.run:  # once more, also where an evaluation is
        for run in options.run:
            made = ablation.keep(evaluate(runs.load(run)))
            print(ablation.publish(made) if options.publish else ablation.path(made.run))
        return
    records = runs.find(plan.experiments(options.plan, options.preset))
    if not (records := [record for record in records if collaborates(record)]):
        raise RunError(
            f"no run to ablate is there: `python -m dclib train --plan {options.plan} --preset"
            f" {options.preset}` makes them"
        )
    for record in records:
        (made,) = ablation.require([record])
        print(ablation.publish(made) if options.publish else f"{record.id}: evaluated")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def measure_cost(options: argparse.Namespace) -> None:
    from dclib import cost

    record = cost.measure(options.preset, options.methods or (), options.rounds, report=print)
    print(cost.table(record).to_string())
    print(cost.write(record))


def run_benchmark(options: argparse.Namespace) -> None:
    from dclib import bench

    rivals = {"authors": options.authors_code, "libmtl": options.libmtl}
    if options.record:
        from dclib import speed

        if options.settings:
            raise RunError("--record measures the settings of its preset: name no other")
        record = speed.measure(options.record, rounds=options.rounds, report=print, **rivals)
        print(speed.about(record))
        print(speed.write(record))
        return
    rounds = 7 if options.rounds is None else options.rounds
    for name, setting in bench.find(options.settings).items():
        contenders = bench.contenders(setting, options.method, **rivals)
        width, size, batch, _ = setting
        print(f"{options.method}, {name}: width {width:g}, {size} px, batch {batch}")
        print(bench.table(bench.measure(contenders, rounds)).round(2).to_string())


def show_blocks(options: argparse.Namespace) -> None:
    from torchvision import models

    from dclib.split import split
    from dclib.underlying import by_name

    if options.network not in models.list_models(module=models):
        raise RunError(f"torchvision has no network {options.network!r} that classifies images")
    print(split(by_name(options.network), options.resolution, every=options.every, check=False))


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
    if options.cascade:
        from dclib.mtcnn import pipeline

        faces = pipeline.predict_all(runs.load(options.run), pipeline.load(options.cascade), photo)
        landmarks = [point for face in faces for point in face.prediction.landmarks]
        found: dict[str, Any] = {"faces": [face.to_dict() for face in faces]}
    else:
        prediction = run_on(runs.load(options.run), photo, options.box and tuple(options.box))
        landmarks, found = list(prediction.landmarks), prediction.to_dict()
    if options.draw:
        from PIL import ImageDraw

        pen = ImageDraw.Draw(photo)
        radius = max(2, min(photo.size) / 80)
        for x, y in landmarks:
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill="#0072b2")
        photo.save(options.draw)
    print(json.dumps(found))


def detect(options: argparse.Namespace) -> None:
    from dclib.mtcnn import pipeline
    from dclib.mtcnn.detect import Settings

    cascade, settings = pipeline.load(options.run), Settings(minimum=options.minimum)
    for path in options.photo:
        found = cascade.detect(path, settings)
        if options.draw:
            pipeline.draw(path, found, options.draw)
        print(json.dumps({"photo": str(path), **found.to_dict()}), flush=True)


def export(options: argparse.Namespace) -> None:
    from dclib import inference, runs

    record = runs.load(options.run)
    net, resolution = inference.network(record), record.experiment.resolution
    print(inference.export(net, options.file, resolution, {"run": record.id}))


def report(options: argparse.Namespace) -> None:
    from dclib import report as building

    building.run(options.preset, options.publish, options.notebooks or None)
