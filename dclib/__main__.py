"""The command line: `python -m dclib COMMAND --help`."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from dclib import commands
from dclib.errors import DataError, RunError
from dclib.mtcnn import commands as mtcnn


def face_count(word: str) -> int | str:
    """A number of faces, or "all"."""
    return word if word == "all" else int(word)


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser("python -m dclib", description=__doc__)
    kinds = top.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, do: object, about: str) -> argparse.ArgumentParser:
        made = kinds.add_parser(name, help=about, description=about)
        made.set_defaults(do=do)
        return made

    data = command("data", commands.prepare_data, "find, verify and decode a data set")
    data.add_argument("name", help="of a data set: mtfl, or what your folder is to be called")
    data.add_argument("source", nargs="?", type=Path, help="archive or folder to take it from")

    training = command("train", commands.train, "train one run, or all runs of a figure")
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
    training.add_argument("--precision", help="bf16 or fp32 (default: the machine's)")
    training.add_argument("--plan", help="all runs of a figure: rates, fig3, ..., gpu")
    training.add_argument("--methods", nargs="+", help="of a plan, these methods only")
    training.add_argument("--tries", type=int, help="of a plan, the first so many tries")
    training.add_argument("--run", help="a run by its id, once more: its weights are then here")
    training.add_argument("--publish", action="store_true", help="copy records to results/")
    limit = "start no run that does not fit, and stop by then after an epoch"
    training.add_argument("--budget-minutes", type=float, metavar="N", help=limit)
    dry = "of the plan gpu: say what would be done, and how much memory it needs"
    training.add_argument("--dry-run", action="store_true", help=dry)
    crew = training.add_mutually_exclusive_group()
    several = "train in N processes at a time (default: one per GPU, or core where there is none)"
    crew.add_argument("--workers", type=int, metavar="N", help=several)
    crew.add_argument("--scheduler", metavar="ADDRESS", help="of a Dask cluster that trains")

    planning = command("plan", commands.show_plan, "the runs of every figure, and what they cost")
    planning.add_argument("figures", nargs="*", help="each run of these instead: rates, fig3, ...")
    planning.add_argument("--preset", default="cpu", help="smoke, cpu or paper (default: cpu)")

    starting = command("pretrain", commands.pretrain, "train weights that columns may start from")
    starting.add_argument("underlying", help="resnet18 or alexnet")
    starting.add_argument("--width", type=float, default=0.25, help="its width (default: 0.25)")
    starting.add_argument("--resolution", type=int, help="of the photos (default: the preset's)")
    starting.add_argument("--publish", action="store_true", help="copy them to results/")

    choice = command("select", commands.select, "choose learning rates from the runs of the grid")
    choice.add_argument("--preset", default="cpu")

    replacing = "replace each task's features at each block, section 4.4, and count the failures"
    ablating = command("ablate", commands.ablate, replacing)
    ablating.add_argument("run", nargs="*", help="runs by their ids (default: all of the plan)")
    ablating.add_argument("--plan", default="fig6", help="fig6 (default), truth, ...")
    ablating.add_argument("--preset", default="cpu", help="smoke, cpu or paper (default: cpu)")
    ablating.add_argument("--publish", action="store_true", help="copy evaluations to results/")

    costing = command("cost", commands.measure_cost, "measure a training step of each method")
    costing.add_argument("--preset", default="cpu")
    costing.add_argument("--methods", nargs="+", help="these methods only")
    costing.add_argument("--rounds", type=int, default=7, help="how often all take turns")

    racing = command("bench", commands.run_benchmark, "time a training step against plain code")
    racing.add_argument("settings", nargs="*", help="full, slim or small (default: all)")
    racing.add_argument("--method", default="DCNet")
    racing.add_argument("--rounds", type=int, help="how often all take turns (default: 7)")
    racing.add_argument("--authors-code", type=Path, metavar="PATH", help="folder of dcnet.py")
    racing.add_argument("--libmtl", type=Path, metavar="PATH", help="a clone of LibMTL, for XS")
    everything = "measure all that the book shows of a preset instead, and keep it in results/"
    racing.add_argument("--record", metavar="PRESET", help=everything)

    cutting = command("blocks", commands.show_blocks, "a torchvision network as a table of blocks")
    cutting.add_argument("network", help="by its name, such as mobilenet_v3_small")
    cutting.add_argument("--resolution", type=int, default=224, help="of the images, in pixels")
    cutting.add_argument("--every", type=int, metavar="N", help="cut after N layers with weights")

    kept = command(
        "runs", commands.list_runs, "list, show, verify, publish, pack or unpack run records"
    )
    actions = kept.add_subparsers(required=True, metavar="ACTION")
    actions.add_parser("list", help="all runs").set_defaults(do=commands.list_runs)
    showing = actions.add_parser("show", help="one run")
    showing.add_argument("run")
    showing.set_defaults(do=commands.show_run)
    for name, some in (("verify", "*"), ("publish", "+")):
        action = actions.add_parser(name, help=f"{name} runs")
        action.add_argument("run", nargs=some)
        action.set_defaults(do=getattr(commands, f"{name}_runs"))

    packing = actions.add_parser("pack", help="write runs into one archive")
    packing.add_argument("archive", type=Path)
    packing.add_argument("run", nargs="*", help="default: all of the store")
    packing.set_defaults(do=commands.pack_runs)
    unpacking = actions.add_parser("unpack", help="put the runs of an archive into the store")
    unpacking.add_argument("archive", type=Path)
    unpacking.set_defaults(do=commands.unpack_runs)

    seeing = command("predict", commands.predict, "landmarks and labels of the face in a photo")
    seeing.add_argument("photo", type=Path)
    seeing.add_argument("--run", required=True, help="the run whose network predicts")
    where = seeing.add_mutually_exclusive_group()
    where.add_argument("--box", nargs=4, type=float, metavar=("LEFT", "TOP", "RIGHT", "BOTTOM"))
    where.add_argument("--cascade", metavar="ID", help="all faces that this cascade finds")
    seeing.add_argument("--draw", type=Path, help="write the photo with its landmarks here")

    finding = command("detect", commands.detect, "find faces in photos by a cascade, section 4.5")
    finding.add_argument("photo", nargs="+", type=Path)
    finding.add_argument("--run", required=True, metavar="ID", help="the cascade that finds them")
    smallest = "side of the smallest faces looked for, in pixels (default: 20)"
    finding.add_argument("--minimum", type=float, default=20.0, metavar="PIXELS", help=smallest)
    marked = "write the photos with their faces here"
    finding.add_argument("--draw", type=Path, metavar="FOLDER", help=marked)
    mtcnn.register(command)

    giving = command("export", commands.export, "write the network of a run as an ONNX file")
    giving.add_argument("run")
    giving.add_argument("file", type=Path, help="FILE.onnx")

    making = command("report", commands.report, "execute the notebooks and build the book")
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
