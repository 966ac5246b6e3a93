"""The command line: `python -m dclib COMMAND --help`.

One file a room holds its commands. They import what they need when they run, so that --help answers
at once.
"""

import argparse
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

from dclib import __version__
from dclib.cli import book, cascades, data, measuring, records, training, using
from dclib.cli.options import COMMANDS, checked
from dclib.errors import DataError, RunError

ROOMS = (data, training, measuring, records, using, cascades, book)
FAMILIES = {"runs": "list, show, verify, publish, pack or unpack run records"}
MEMORY = ("out of memory", "allocate", "size calculation overflowed")  # in torch's own words
SYSTEM = (OSError, MemoryError, RecursionError, RuntimeError, ModuleNotFoundError)


def parser() -> argparse.ArgumentParser:
    """All commands with their options; those with two words are families of commands."""
    top = argparse.ArgumentParser("python -m dclib", description="The companion of DCNet's paper.")
    top.add_argument("--version", action="version", version=f"dclib {__version__}")
    families = {"": top.add_subparsers(required=True, metavar="COMMAND")}

    def add(family: str, name: str, about: str) -> argparse.ArgumentParser:
        actions = families[family]
        return actions.add_parser(name, help=about, description=about, allow_abbrev=False)

    rooms = [room.__name__ for room in ROOMS]
    for command in sorted(COMMANDS.values(), key=lambda c: rooms.index(c.do.__module__)):
        *of, name = command.name.split()
        family = "".join(of)
        if family not in families:
            actions = add("", family, FAMILIES[family])
            families[family] = actions.add_subparsers(required=True, metavar="ACTION")
        made = add(family, name, command.about)
        made.set_defaults(command=command, do=command.do, parser=made)
        for option, settings in command.options:
            made.add_argument(option, **settings)
    return top


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The options that some words give, with their defaults.

    Raises:
        RunError: options that do not go together.
    """
    return checked(parser().parse_args(words))


def _interrupted(number: int, frame: FrameType | None) -> None:
    """Stop at once, and quietly, where modules are loading: some cannot be left half-way."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            os._exit(130)
        frame = frame.f_back
    raise KeyboardInterrupt


@contextmanager
def _interruptible() -> Iterator[None]:
    before = signal.getsignal(signal.SIGINT)
    ours = before is signal.default_int_handler  # set in the main thread, and by nobody else
    if ours:
        signal.signal(signal.SIGINT, _interrupted)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGINT, before)


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; user-facing errors become one line and exit status 1."""
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    try:
        if sys.stdout is None:
            raise RunError("standard output is closed: nothing can be answered, open it")
        try:
            with _interruptible():
                options = parse(words)
                options.do(options)
        finally:
            sys.stdout.flush()  # now, or a full disk would be told of too late
    except BrokenPipeError:  # the reader of our lines has seen enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    except KeyboardInterrupt:
        return _say("interrupted: finished work is kept, the same command goes on", 130)
    except (DataError, RunError, ValueError, *SYSTEM) as error:
        text = told(error)
        for word in sys.argv[1:] if words is None else words:
            if not word.isprintable():  # a file may be named so, but its error is one line
                text = text.replace(word, word.encode("unicode_escape").decode())
        return _say(f"error: {text}", 1)
    return 0


def told(error: BaseException) -> str:
    """What an error says to people, in a line; what is a fault of the code is raised again."""
    if isinstance(error, (DataError, RunError)):
        return str(error)
    if isinstance(error, OSError):
        what = f"{error.filename}: {error.strerror}" if error.filename else error
        places = "DCLIB_STORE, DCLIB_DATA and DCLIB_RESULTS move those of dclib"
        return f"{what}: make room, or name a place that can be read and written ({places})"
    if isinstance(error, UnicodeError):
        return f"text that is no UTF-8 ({error}): save it as such, or set PYTHONUTF8=1"
    if isinstance(error, ModuleNotFoundError):
        return f"{error}: `pip install 'dclib[book,cluster,onnx]'` has all that commands need"
    if isinstance(error, RecursionError):
        return f"what was read is nested too deeply ({error}): restore that file"
    if isinstance(error, MemoryError) or any(word in str(error) for word in MEMORY):
        return (
            f"not enough memory ({str(error) or 'none is left'}): take a smaller --batch, --width"
            " or --resolution, or a smaller photo"
        )
    if isinstance(error, ValueError):
        return str(error)
    raise error


def _say(line: str, status: int) -> int:
    """Say why a command ends, where that can be said, and its exit status."""
    with suppress(OSError):
        print(line, file=sys.stderr, flush=True)
        return status
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    return status
