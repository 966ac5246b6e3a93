"""Run records."""

import argparse
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from dclib.cli.options import command, option, path, run, say
from dclib.errors import RunError

if TYPE_CHECKING:
    from dclib.records.store import Shelf

IDS = "ids, or the starts of them"


@command(
    "runs list",
    "all runs, those made here first",
    option("--method", "those of this method (default: all)"),
    option("--preset", "those of this preset (default: all)"),
    option("--data", "those of this data (default: all)", dest="dataset"),
)
def list_runs(options: argparse.Namespace) -> None:
    import pandas as pd

    from dclib import paths
    from dclib.records import runs

    asked = {n: v for n in ("method", "preset", "dataset") if (v := getattr(options, n))}
    rows = []
    for record in runs.SHELF.readable(say):
        if all(getattr(record.experiment, name) == value for name, value in asked.items()):
            try:
                (row,) = runs.table([record]).to_dict("records")
            except RunError as error:
                say(str(error))
                continue
            place = "store" if record.folder.parent == paths.store() else "results"
            rows.append(row | {"kept in": place})
    none = f"no runs of {', '.join(map(repr, asked.values()))}" if asked else "no runs yet"
    print(pd.DataFrame(rows).to_string(index=False) if rows else none)


@command("runs show", "one run: its settings, where it was made, its results", run())
def show_run(options: argparse.Namespace) -> None:
    from dclib.records import runs

    record = runs.load(options.run)
    table = runs.table([record]).T.to_string(header=False)
    print(record.experiment.title)
    print(json.dumps(json.loads(record.experiment.to_json()), indent=1))
    print(json.dumps(record.environment, indent=1))
    print(table)


@command(
    "runs verify",
    "recompute outcomes from raw predictions",
    run(f"{IDS} (default: all)", nargs="*"),
)
def verify_runs(options: argparse.Namespace) -> None:
    from dclib.records import runs
    from dclib.training.verify import verify

    verify_each(runs.SHELF, options.run, verify, "predictions")


def verify_each(
    shelf: "Shelf[Any]", ids: Sequence[str], wrong: Callable[[Any], Sequence[str]], than: str
) -> None:
    """Say of some records, or of all, how they differ from what they hold.

    Raises:
        RunError: some do, or cannot be read.
    """
    bad: list[str] = []
    records = [shelf.load(run) for run in ids] if ids else list(shelf.readable(bad.append))
    for record in records:
        try:
            differs = "; ".join(wrong(record))
        except RunError as error:
            bad.append(str(error))
            continue
        if differs:
            bad.append(record.id)
        print(f"{record.id} {record.experiment.title}: {differs or 'verified'}", flush=True)
    if bad:
        raise RunError(
            f"{len(bad)} of {shelf.kind}s differ from their {than}, or cannot be read:\n"
            + "\n".join(bad)
        )


@command("runs publish", "copy runs to results/, without weights", run(IDS, nargs="+"))
def publish_runs(options: argparse.Namespace) -> None:
    from dclib.records import runs

    for record in [runs.load(name) for name in options.run]:
        print(runs.publish(record).folder)


@command(
    "runs pack",
    "write runs into one archive",
    option("archive", "the file to write", path, "FILE"),
    run(f"{IDS} (default: all of the store)", nargs="*"),
)
def pack_runs(options: argparse.Namespace) -> None:
    from dclib import paths
    from dclib.records import parcel, runs

    every = [r for r in runs.every() if r.folder.parent == paths.store()]
    print(parcel.write(options.archive, [runs.load(run) for run in options.run] or every))


@command(
    "runs unpack",
    "put the runs of an archive into the store",
    option("archive", "the file to read", path, "FILE"),
)
def unpack_runs(options: argparse.Namespace) -> None:
    from dclib.records import parcel

    for record in parcel.read(options.archive):
        print(record.folder)
