"""What steps cost, and networks as tables of blocks."""

import argparse

from dclib.cli.options import command, count, number, option, path, pixels, preset
from dclib.errors import RunError

TURNS, ROUNDS = "how often all take turns (default: 7)", number(int, 1, 1e6)
RECORD = "measure all that the book shows of a preset instead; writes results/speed/PRESET.json"
EVERY = "cut after N layers with weights (default: where the maps become smaller)"
RIVALS = {"authors_code": None, "libmtl": None}


@command(
    "cost",
    "measure a training step of each method; writes results/cost/PRESET.json",
    preset(),
    option("--methods", "these methods only (default: all on ResNet18)", nargs="+"),
    option("--rounds", TURNS, ROUNDS, "N", default=7),
)
def measure_cost(options: argparse.Namespace) -> None:
    from dclib.study.speed import cost

    record = cost.measure(options.preset, options.methods or (), options.rounds, report=print)
    print(cost.table(record).to_string())
    print(cost.write(record))


@command(
    "bench",
    "time a training step against plain code",
    option("settings", "full, slim or small (default: all)", metavar="SETTING", nargs="*"),
    option("--method", "a method (default: DCNet)"),
    option("--rounds", TURNS, ROUNDS, "N"),
    option("--authors-code", "folder of dcnet.py, for DCNet", path, "FOLDER"),
    option("--libmtl", "a clone of LibMTL, for XS", path, "FOLDER"),
    option("--record", RECORD, metavar="PRESET"),
    ways={
        "record": {"rounds": None, **RIVALS},
        "": {"settings": [], "method": "DCNet", "rounds": 7, **RIVALS},
    },
)
def run_benchmark(options: argparse.Namespace) -> None:
    from dclib.study.speed import bench, measuring

    rivals = {"authors": options.authors_code, "libmtl": options.libmtl}
    if options.record:
        from dclib.study.speed import survey

        record = survey.measure(options.record, rounds=options.rounds, report=print, **rivals)
        print(survey.about(record))
        print(survey.write(record))
        return
    for rival, method in {"authors": "DCNet", "libmtl": "XS"}.items():
        if rivals[rival] and options.method != method:
            raise RunError(f"{rivals[rival]} is timed beside {method}: give --method {method}")
    for name, setting in bench.find(options.settings).items():
        contenders = bench.contenders(setting, options.method, **rivals)
        width, size, batch, _ = setting
        print(f"{options.method}, {name}: width {width:g}, {size} px, batch {batch}")
        print(bench.table(measuring.turns(contenders, options.rounds)).round(2).to_string())


@command(
    "blocks",
    "a torchvision network as a table of blocks",
    option("network", "by its name, such as mobilenet_v3_small"),
    option("--resolution", "of the images (default: 224)", pixels, "PIXELS", default=224),
    option("--every", EVERY, count, "N"),
)
def show_blocks(options: argparse.Namespace) -> None:
    from torchvision import models

    from dclib.splitting.series import split
    from dclib.underlying import by_name

    if options.network not in models.list_models(module=models):
        raise RunError(f"torchvision has no network {options.network!r} that classifies images")
    print(split(by_name(options.network), options.resolution, every=options.every, check=False))
