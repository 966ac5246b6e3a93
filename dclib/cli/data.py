"""Data sets."""

import argparse

from dclib.cli.options import Commands, path


def register(commands: Commands) -> None:
    data = commands.add("data", "find, verify and decode a data set", prepare_data)
    data.option("name", "of a data set, such as mtfl, or what your folder is to be called")
    about = "archive or folder to take it from (default: DCLIB_MIRROR and what is there)"
    data.option("source", about, path, "SOURCE", nargs="?")


def prepare_data(options: argparse.Namespace) -> None:
    from dclib import data

    print(data.prepare(options.name, options.source))
