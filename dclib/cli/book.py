"""The book."""

import argparse

from dclib.cli.options import Commands


def register(commands: Commands) -> None:
    making = commands.add("report", "execute the notebooks and build the book", report)
    making.option("notebooks", "some only, such as 04_2_mtfl (default: all)", nargs="*")
    making.preset("smoke")
    making.switch("--publish", "renew the pages in book/")


def report(options: argparse.Namespace) -> None:
    from dclib.study.pages import report as building

    building.run(options.preset, options.publish, options.notebooks or None)
