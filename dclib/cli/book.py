"""The book."""

import argparse

from dclib.cli.options import command, option, preset, switch


@command(
    "report",
    "execute the notebooks and build the book",
    option("notebooks", "some only, such as 04_2_mtfl (default: all)", nargs="*"),
    preset("smoke"),
    switch("--publish", "renew the pages in book/"),
)
def report(options: argparse.Namespace) -> None:
    from dclib.study.pages import report as building

    building.run(options.preset, options.publish, options.notebooks or None)
