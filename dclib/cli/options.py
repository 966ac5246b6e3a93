"""What options may hold, and which of them go together."""

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dclib.errors import RunError

Do = Callable[[argparse.Namespace], object]
Kind = Callable[[str], Any]  # makes a value of a word

# The fields of an experiment that the command line may change.
CHANGES = (
    *("dataset", "train_faces", "width", "resolution", "epochs", "batch", "lr", "weighting"),
    *("pretrained", "precision"),
)
PUBLISH = {"publish": False}
HOW = PUBLISH | dict.fromkeys(("budget_minutes", "workers", "scheduler"))
RIVALS = dict.fromkeys(("authors_code", "libmtl"))

# The ways of commands that have several: by the option that tells which, "" where none does, what
# else can be said there, and what holds where it is not. The first way that is named is taken;
# everything said that is none of its own is refused.
WAYS: dict[str, dict[str, dict[str, Any]]] = {
    "train": {
        "run": {},
        "plan": {"preset": "cpu", "methods": None, "tries": None, "dry_run": False, **HOW},
        "method": {"preset": "cpu", "underlying": None, "try_": 0, **dict.fromkeys(CHANGES), **HOW},
    },
    "ablate": {"run": PUBLISH, "": {"plan": "fig6", "preset": "cpu", **PUBLISH}},
    "bench": {
        "record": {"rounds": None, **RIVALS},
        "": {"settings": [], "method": "DCNet", "rounds": 7, **RIVALS},
    },
    "cascade": {
        "list": {},
        "verify": {"run": []},
        "run": PUBLISH,
        "plan": {"preset": "cpu", "tries": None, **PUBLISH},
        "method": {"preset": "cpu", "try_": 0, **PUBLISH},
    },
    "detectors": {"time": {"package": []}, "": {"file": [], "package": []}},
}


class Command(argparse.ArgumentParser):
    """A command; every option of it has a line that says what it is, and what holds without it."""

    def option(
        self, name: str, about: str, kind: Kind | None = None, metavar: str = "NAME", **more: Any
    ) -> None:
        """One more option, or a word that stands alone; by default a name."""
        self.add_argument(name, type=kind or text, metavar=metavar, help=about, **more)

    def switch(self, name: str, about: str) -> None:
        """One more that is on or off."""
        self.add_argument(name, action="store_true", help=about)

    def preset(self, default: str | None = "cpu") -> None:
        """Most commands have one; None leaves its default to `WAYS`."""
        about = f"smoke, cpu, long, pretrained or paper (default: {default or 'cpu'})"
        self.option("--preset", about, default=default)


class Commands:
    """The commands of a parser."""

    def __init__(self, parser: argparse.ArgumentParser, metavar: str) -> None:
        self.parsers = parser.add_subparsers(required=True, metavar=metavar, parser_class=Command)

    def add(self, name: str, about: str, do: Do | None = None) -> Command:
        """One more: its name, a line about it, and what it does."""
        made = self.parsers.add_parser(name, help=about, description=about, allow_abbrev=False)
        made.set_defaults(do=do, command=name, parser=made)
        return made


def checked(options: argparse.Namespace) -> argparse.Namespace:
    """Give options that were not said their defaults.

    Raises:
        RunError: some were said that do not go together.
    """
    ways = WAYS.get(options.command)
    if ways is None:
        return options
    names = {a.dest: (*a.option_strings, a.metavar or a.dest)[0] for a in options.parser._actions}
    said = {name for name in names if getattr(options, name, None) not in (None, [])}
    said = {name for name in said if getattr(options, name) is not False}
    way = next((way for way in ways if way in said or not way), None)
    if way is None:
        raise RunError(f"name what to train: {', '.join(names[way] for way in ways)}")
    for name in sorted(said - ways[way].keys() - {way}):
        others = [names[other] for other in ways if other and name in ways[other]]
        fits = f"goes with {' or '.join(others)}, not" if others else "does not go"
        raise RunError(f"{names[name]} {fits} with {names[way]}: leave one of them out")
    for name, value in ways[way].items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    return options


def number(kind: type[int] | type[float], least: float = -math.inf, most: float = math.inf) -> Kind:
    """What makes a number of a word, if it lies between two others, as NaN never does."""

    def convert(word: str) -> float:
        value = kind(word)
        if not least <= value <= most:
            ends = [f"at least {least:,g}"] * (least > -math.inf)
            ends += [f"at most {most:,.0f}"] * (most < math.inf)
            raise argparse.ArgumentTypeError(f"{word}: give a number{', '.join(['', *ends])}")
        return value

    convert.__name__ = kind.__name__  # which argparse speaks of
    return convert


def text(word: str) -> str:
    """A name or an address, which says something."""
    if not word.strip() or "\0" in word:
        raise argparse.ArgumentTypeError(f"{word!r} names nothing")
    return word


def path(word: str) -> Path:
    """A file or a folder."""
    return Path(text(word))


count = number(int, 1, 1e9)
try_ = number(int, 0, 1e9)
width = number(float, 1 / 64, 16)
pixels = number(int, 16, 2048)


def say(line: str) -> None:
    """What is not part of the answer."""
    print(line, file=sys.stderr, flush=True)
