"""Commands as data: what they are called, their options, and which of these go together."""

import argparse
import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dclib.errors import RunError

Do = Callable[[argparse.Namespace], object]
Kind = Callable[[str], Any]  # makes a value of a word

# The ways of a command that has several: by the option that tells which, "" where none does, what
# else can be said there, and what holds where it is not. The first way that is named is taken;
# everything said that is none of its own is refused.
Ways = Mapping[str, Mapping[str, Any]]
Option = tuple[str, dict[str, Any]]  # its name, and what argparse wants to know of it


class Command(NamedTuple):
    """A command: what it is called, says of itself and does; its options, and which go together."""

    name: str
    about: str
    do: Do
    options: tuple[Option, ...]
    ways: Ways
    clash: tuple[str, ...]


COMMANDS: dict[str, Command] = {}


def command(
    name: str, about: str, *options: Option, ways: Ways | None = None, clash: tuple[str, ...] = ()
) -> Callable[[Do], Do]:
    """Make a function a command; every option has a line that says what holds without it."""

    def register(do: Do) -> Do:
        COMMANDS[name] = Command(name, about, do, options, ways or {}, clash)
        return do

    return register


def option(
    name: str,
    about: str,
    kind: Kind | None = None,
    metavar: str | tuple[str, ...] = "NAME",
    **more: Any,
) -> Option:
    """An option, or a word that stands alone; by default a name."""
    return name, {"type": kind or text, "metavar": metavar, "help": about, **more}


def switch(name: str, about: str) -> Option:
    """An option that is on or off."""
    return name, {"action": "store_true", "help": about}


def preset(default: str | None = "cpu") -> Option:
    """Most commands have one; None leaves its default to the ways."""
    about = f"smoke, cpu, long, pretrained or paper (default: {default or 'cpu'})"
    return option("--preset", about, default=default)


def checked(options: argparse.Namespace) -> argparse.Namespace:
    """Give options that were not said their defaults.

    Raises:
        RunError: some were said that do not go together.
    """
    ways, clash = options.command.ways, options.command.clash
    names = {a.dest: (*a.option_strings, a.metavar or a.dest)[0] for a in options.parser._actions}
    said = {name for name in names if getattr(options, name, None) not in (None, [])}
    said = {name for name in said if getattr(options, name) is not False}
    if clash and said.issuperset(clash):
        one, other = (names[name] for name in clash)
        raise RunError(f"{one} does not go with {other}: leave one of them out")
    if not ways:
        return options
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


def face_count(word: str) -> int | str:
    """A number of faces, or "all"."""
    return word if word == "all" else int(number(int, most=1e9)(word))


count = number(int, 1, 1e9)
width = number(float, 1 / 64, 16)
pixels = number(int, 16, 2048)

PUBLISH = {"publish": False}
publish = switch("--publish", "copy records to results/")
tries = option("--tries", "of a plan, the first N tries (default: all)", count, "N")
seed = option(
    "--try", "the try, which is its seed (default: 0)", number(int, 0, 1e9), "N", dest="try_"
)


def run(about: str = "its id, or the start of it", **more: Any) -> Option:
    """The ids of a run, or of several."""
    return option("run", about, metavar="ID", **more)


def say(line: str) -> None:
    """What is not part of the answer."""
    print(line, file=sys.stderr, flush=True)
