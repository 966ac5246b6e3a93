"""Training: runs, the weights they start from, the choice of learning rates, ablations."""

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING

from dclib.cli import options as common
from dclib.cli.options import PUBLISH, command, number, option, pixels, run, say, switch, width
from dclib.errors import RunError

if TYPE_CHECKING:
    from dclib.records.experiment import Experiment
    from dclib.records.runs import Record

OFTEN = number(int, most=1e6)
CHANGES = (  # the fields of an experiment that the command line may change, as options
    option("--data", "a data set (default: the preset's)", dest="dataset"),
    option("--width", "share of the full width (default: the preset's)", width, "N"),
    option("--resolution", "of the input (default: the preset's)", pixels, "PIXELS"),
    option("--epochs", "length of training (default: the preset's)", OFTEN, "N"),
    option("--batch", "faces per step (default: the preset's)", OFTEN, "N"),
    option("--lr", "learning rate (default: the selected one)", number(float), "RATE"),
    option("--train-faces", "how many, or all (default: the preset's)", common.face_count, "N"),
    option("--weighting", "per_output or per_task (default: the preset's)"),
    option(
        "--pretrained", "imagenet, imagenet-mlnet or tiny-imagenet (default: the preset's start)"
    ),
    option("--precision", "bf16 or fp32 (default: the machine's)"),
)
FIELDS = [how.get("dest", name[2:].replace("-", "_")) for name, how in CHANGES]
HOW = PUBLISH | dict.fromkeys(("budget_minutes", "workers", "scheduler"))
BUDGET = "start no run that does not fit, and stop by then after an epoch (default: no limit)"
WORKERS = "processes at a time (default: one per GPU, or core where there is none)"
SCHEDULER = "of a Dask cluster that trains (default: this machine)"
EACH = "each run of these instead: rates, fig3, ... (default: a line for every figure)"


def experiments(options: argparse.Namespace) -> "list[Experiment]":
    """What the options of `train` name."""
    from dclib.methods import METHODS
    from dclib.records import runs
    from dclib.study import plans

    if options.run:
        return [runs.load(options.run).experiment]
    if options.plan:
        chosen = plans.experiments(options.plan, options.preset)
        known = list(dict.fromkeys(e.label for e in chosen))
        if unknown := sorted({*(options.methods or ())} - {*known}):
            raise RunError(
                f"--methods: {', '.join(unknown)} in no run of {options.plan} at {options.preset};"
                f" choose from {', '.join(known)}"
            )
        chosen = [e for e in chosen if e.label in (options.methods or known)]
        return [e for e in chosen if options.tries is None or e.try_ < options.tries]
    changes = {name: value for name in FIELDS if (value := getattr(options, name)) is not None}
    if changes.get("train_faces") == "all":
        changes["train_faces"] = None
    of = METHODS.get(options.method)
    underlying = options.underlying or (of and of.underlying) or "resnet18"
    made = plans.experiment(options.preset, options.method, underlying, **changes)
    return [replace(made, try_=options.try_)]


@command(
    "train",
    "train one run, or all runs of a figure",
    common.preset(None),
    option("--method", "a method by the paper's name, such as DCNet"),
    option("--underlying", "underlying network (default: the method's)"),
    common.seed,
    *CHANGES,
    option("--plan", "all runs of a figure: rates, fig3, ...; or gpu", metavar="FIGURE"),
    option("--methods", "of a plan, these methods (default: all)", nargs="+"),
    common.tries,
    option("--run", "a run once more: its weights are then here", metavar="ID"),
    common.publish,
    switch("--dry-run", "of the plan gpu: say what would be done, and in what memory"),
    option("--budget-minutes", BUDGET, number(float, 0, 1e7), "N"),
    option("--workers", WORKERS, number(int, most=4096), "N"),
    option("--scheduler", SCHEDULER, metavar="ADDRESS"),
    ways={
        "run": {},
        "plan": {"preset": "cpu", "methods": None, "tries": None, "dry_run": False, **HOW},
        "method": {"preset": "cpu", "underlying": None, "try_": 0, **dict.fromkeys(FIELDS), **HOW},
    },
    clash=("workers", "scheduler"),
)
def train_runs(options: argparse.Namespace) -> None:
    from dclib import sweep
    from dclib.records import runs
    from dclib.sweep.attempt import once_more

    if options.plan == "gpu" or options.dry_run:
        _on_gpu(options)
        return
    wanted, budget = experiments(options), None
    if options.run:
        print(once_more(wanted[0]).folder)
        return
    _tell_first(wanted)
    if options.budget_minutes is not None:
        from dclib.study.speed.forecast import Budget, Estimates

        budget = Budget(options.budget_minutes, Estimates(say))
    records = sweep.require(
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
    table = runs.table(records)
    if any(map(_too_early, records)):
        table = table.drop(columns=["failure rate", "mean error", "accuracy"])
        say("results on test faces are shown when learning rates are chosen: `dclib select`")
    print(table.to_string(index=False))
    if options.publish:
        for record in records:
            print(runs.publish(record).folder)


def _on_gpu(options: argparse.Namespace) -> None:
    if options.plan != "gpu":
        raise RunError("--dry-run goes with --plan gpu; `python -m dclib plan` shows the others")
    from dclib.study.speed import gpu

    if options.dry_run:
        print(gpu.rehearsal(options.budget_minutes))
        return
    if options.budget_minutes is None:
        raise RunError("--plan gpu needs --budget-minutes N: how long the machine is lent")
    for record in gpu.run(options.budget_minutes, say):
        print(record.id, record.experiment.title)


def _tell_first(wanted: "list[Experiment]") -> None:
    """What is there already, and on how many faces a run of all faces trains."""
    from dclib.records import runs
    from dclib.training.batches import face_sets

    there = runs.find(dict.fromkeys(wanted))
    if there:
        more = f" and {len(there) - 1} more" * (len(there) > 1)
        say(
            f"run {there[0].id}{more}: finished before, in {there[0].folder.parent}, and not"
            " trained again; `python -m dclib train --run ID` does"
        )
    elif len(wanted) == 1 and wanted[0].train_faces is None:
        say(f"trains on all {len(face_sets(wanted[0])[1]):,} faces of {wanted[0].dataset}")


def _too_early(record: "Record") -> bool:
    """No result on test faces is shown before learning rates are chosen on validation faces."""
    from dclib.study.plans import selection
    from dclib.study.plans.presets import PRESETS

    e = record.experiment
    of = PRESETS.get(e.preset)
    if of is None or of.grid is None or e.dataset != of.dataset or e.split != "test":
        return False
    return not selection.is_chosen(e.preset, e.method, e.underlying)


@command(
    "pretrain",
    "train weights that columns may start from",
    option("underlying", "resnet18 or alexnet", metavar="NETWORK"),
    option("--width", "share of the full width (default: 0.25)", width, "N", default=0.25),
    option("--resolution", "of the photos (default: that of cpu)", pixels, "PIXELS"),
    switch("--publish", "copy them to results/"),
)
def pretrain_column(options: argparse.Namespace) -> None:
    from dclib.study.plans import pretraining

    run = pretraining.experiment(options.underlying, options.width, options.resolution)
    record, file = pretraining.pretrain(run)
    if options.publish:
        file = pretraining.publish(record, file)
    print(f"run {record.id}: {pretraining.accuracy(record):.1%} of the validation photos named")
    print(f"weights in {file}")


@command("select", "choose learning rates from the runs of the grid", common.preset())
def select(options: argparse.Namespace) -> None:
    from dclib import data
    from dclib.records import runs
    from dclib.study import plans
    from dclib.study.plans import selection
    from dclib.training.batches import face_sets

    grid = [e for name in plans.GRIDS for e in plans.experiments(name, options.preset)]
    records = runs.find(grid)
    if not records:
        raise RunError(
            f"no run of the grid is there: `python -m dclib train --plan rates --preset"
            f" {options.preset}` makes them"
        )
    e = records[0].experiment
    weights = selection.pose_weights(face_sets(e)[2], data.load(e.dataset, e.resolution)[1])
    selection.write(records, weights)
    own = [e for name in plans.OWN_GRIDS for e in plans.experiments(name, options.preset)]
    table = selection.write(list({r.id: r for r in [*records, *runs.find(own)]}.values()), weights)
    print(table.to_string(index=False))


@command(
    "plan",
    "the runs of every figure, and what they cost",
    option("figures", EACH, metavar="FIGURE", nargs="*"),
    common.preset(),
)
def show_plan(options: argparse.Namespace) -> None:
    from dclib.study.speed import forecast

    estimates = forecast.Estimates(say)
    for figure in options.figures:
        table = forecast.each_run(figure, options.preset, estimates)
        print(f"{figure}\n{table.to_string(index=False, float_format='{:.2f}'.format)}")
    if not options.figures:
        table, notes = forecast.figures(options.preset, estimates)
        print("\n".join([table.to_string(float_format="{:.2f}".format), *notes]))
    print(estimates)


@command(
    "ablate",
    "replace each task's features at each block, section 4.4, and count the failures",
    run("runs by their ids (default: all of the plan)", nargs="*"),
    option("--plan", "fig6, truth, ... (default: fig6)", metavar="FIGURE"),
    common.preset(None),
    switch("--publish", "copy evaluations to results/"),
    ways={"run": PUBLISH, "": {"plan": "fig6", "preset": "cpu", **PUBLISH}},
)
def ablate(options: argparse.Namespace) -> None:
    from dclib.records import runs
    from dclib.study import plans
    from dclib.study.analysis import ablation
    from dclib.study.analysis.ablating import collaborates, evaluate, require

    if options.run:  # once more, also where an evaluation is
        for run in options.run:
            made = ablation.keep(evaluate(runs.load(run)))
            print(ablation.publish(made) if options.publish else ablation.path(made.run))
        return
    records = runs.find(plans.experiments(options.plan, options.preset))
    if not (records := [record for record in records if collaborates(record)]):
        raise RunError(
            f"no run to ablate is there: `python -m dclib train --plan {options.plan} --preset"
            f" {options.preset}` makes them"
        )
    for record in records:
        (made,) = require([record])
        print(ablation.publish(made) if options.publish else f"{record.id}: evaluated")
