"""What steps cost, and networks as tables of blocks."""

import argparse

from dclib.cli.options import Commands, count, number, path, pixels
from dclib.errors import RunError


def register(commands: Commands) -> None:
    about = "measure a training step of each method; writes results/cost/PRESET.json"
    costing = commands.add("cost", about, measure_cost)
    costing.preset()
    costing.option("--methods", "these methods only (default: all on ResNet18)", nargs="+")
    turns, rounds = "how often all take turns (default: 7)", number(int, 1, 1e6)
    costing.option("--rounds", turns, rounds, "N", default=7)

    racing = commands.add("bench", "time a training step against plain code", run_benchmark)
    racing.option("settings", "full, slim or small (default: all)", None, "SETTING", nargs="*")
    racing.option("--method", "a method (default: DCNet)")
    racing.option("--rounds", turns, rounds, "N")
    racing.option("--authors-code", "folder of dcnet.py, for DCNet", path, "FOLDER")
    racing.option("--libmtl", "a clone of LibMTL, for XS", path, "FOLDER")
    about = "measure all that the book shows of a preset instead; writes results/speed/PRESET.json"
    racing.option("--record", about, metavar="PRESET")

    cutting = commands.add("blocks", "a torchvision network as a table of blocks", show_blocks)
    cutting.option("network", "by its name, such as mobilenet_v3_small")
    cutting.option("--resolution", "of the images (default: 224)", pixels, "PIXELS", default=224)
    about = "cut after N layers with weights (default: where the maps become smaller)"
    cutting.option("--every", about, count, "N")


def measure_cost(options: argparse.Namespace) -> None:
    from dclib.study.speed import cost

    record = cost.measure(options.preset, options.methods or (), options.rounds, report=print)
    print(cost.table(record).to_string())
    print(cost.write(record))


def run_benchmark(options: argparse.Namespace) -> None:
    from dclib.study.speed import bench

    rivals = {"authors": options.authors_code, "libmtl": options.libmtl}
    if options.record:
        from dclib.study.speed import survey

        record = survey.measure(options.record, rounds=options.rounds, report=print, **rivals)
        print(survey.about(record))
        print(survey.write(record))
        return
    for option, method in {"authors": "DCNet", "libmtl": "XS"}.items():
        if rivals[option] and options.method != method:
            raise RunError(f"{rivals[option]} is timed beside {method}: give --method {method}")
    for name, setting in bench.find(options.settings).items():
        contenders = bench.contenders(setting, options.method, **rivals)
        width, size, batch, _ = setting
        print(f"{options.method}, {name}: width {width:g}, {size} px, batch {batch}")
        print(bench.table(bench.measure(contenders, options.rounds)).round(2).to_string())


def show_blocks(options: argparse.Namespace) -> None:
    from torchvision import models

    from dclib.splitting.series import split
    from dclib.underlying import by_name

    if options.network not in models.list_models(module=models):
        raise RunError(f"torchvision has no network {options.network!r} that classifies images")
    print(split(by_name(options.network), options.resolution, every=options.every, check=False))
