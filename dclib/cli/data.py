"""Data sets."""

import argparse

from dclib.cli.options import command, option, path

SOURCE = "archive or folder to take it from (default: DCLIB_MIRROR and what is there)"


@command(
    "data",
    "find, verify and decode a data set",
    option("name", "of a data set, such as mtfl, or what your folder is to be called"),
    option("source", SOURCE, path, "SOURCE", nargs="?"),
)
def prepare_data(options: argparse.Namespace) -> None:
    from dclib import data

    print(data.prepare(options.name, options.source))
