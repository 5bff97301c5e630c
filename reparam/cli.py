"""The command `reparam`: arguments in, verbs called, exit codes out; no logic of its own.

Exit codes: 0 done; 1 verification found a difference; 2 refused or bad input.
"""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any, NoReturn

from reparam.console import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

DONE, DIFFERENT, REFUSED, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: Words after `reparam`; None for those of the process.

    Returns:
        The exit code.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names a terminal cannot show are escaped
            stream.reconfigure(errors="backslashreplace")
    if threading.current_thread() is threading.main_thread():
        # ended politely, the command removes its temporary file as after Ctrl-C
        for name in ("SIGTERM", "SIGHUP"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), _interrupt)
    try:
        return _run(_parse(arguments))
    except BrokenPipeError:
        # the reader went away; leave the interpreter nothing to flush into the closed pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _complain(f"{where}{error.strerror or error}", REFUSED)
    except MemoryError:
        return _complain(
            "not enough memory for this file or recipe; no output was written", REFUSED
        )
    except KeyboardInterrupt:
        return _complain("interrupted; no output was written", INTERRUPTED)


def _run(options: argparse.Namespace) -> int:
    """Carry out a command; NumPy is imported here, not for --help."""
    # The command runs one block at a time; BLAS threads would only cost start-up time.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from reparam import commands  # noqa: PLC0415
    from reparam.errors import ReparamError, VerificationError  # noqa: PLC0415

    try:
        code: int = getattr(commands, options.command)(options)
    except VerificationError as error:
        return _complain(error, DIFFERENT)
    except ReparamError as error:
        return _complain(error, REFUSED)
    if sys.stdout is not None:
        sys.stdout.flush()
    return code


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the words and refuse those that contradict each other."""
    command = parser()
    options = command.parse_args(arguments)
    if options.command == "fuse":
        if options.output is None and not options.dry_run:
            command.error("fuse: give -o OUT, the file to write, or --dry-run")
        settled = ("recipe", "eps", "batch_norm", "dtype")
        if options.plan and any(getattr(options, name) is not None for name in settled):
            command.error(
                "fuse: --plan says recipe, eps, batch_norm and dtype already; leave out --recipe, "
                "--eps, --batch-norm and --dtype"
            )
    if options.command == "verify":
        if options.model and not options.run:
            command.error("verify: --model goes with --run torch or --run keras")
        if options.run == "torch" and not options.model:
            command.error("verify: --run torch needs --model FILE.py; see the docs on running")
    return options


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(
        prog="reparam",
        description="Fuse train-form checkpoints into their deploy form, on weights alone.",
        epilog="Exit codes: 0 done; 1 verification found a difference; 2 refused or bad input.",
    )
    top.add_argument("--version", action="version", version=f"reparam {_version()}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    inspect = commands.add_parser("inspect", help="show what would be fused; reads the header only")
    inspect.add_argument("file", metavar="FILE")
    _add_common(inspect)

    fuse = commands.add_parser("fuse", help="write the deploy form of a checkpoint")
    fuse.add_argument("file", metavar="FILE")
    fuse.add_argument("-o", "--output", metavar="OUT", help="the file to write")
    _add_common(fuse)
    fuse.add_argument(
        "--batch-norm",
        choices=("remove", "neutral"),
        help="remove norms (convolutions gain a bias), or keep them as carriers of the bias so "
        "that the unmodified model loads the result (default: remove)",
    )
    fuse.add_argument(
        "--dtype",
        choices=("keep", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"),
        help="dtype of fused kernels and biases; all other tensors are copied as they are "
        "(default: keep, that of the kernel)",
    )
    fuse.add_argument(
        "--plan", metavar="PLAN.json", help="carry out a plan that inspect --json wrote"
    )
    fuse.add_argument("--dry-run", action="store_true", help="plan only, write nothing")
    fuse.add_argument("--no-verify", action="store_true", help="do not check fused blocks")
    fuse.add_argument("--overwrite", action="store_true", help="replace an existing OUT")

    fuse.add_argument(
        "--dialect",
        choices=("keep", "legacy"),
        default="keep",
        help="Keras weights: the dialect of the input, or the HDF5 that every Keras loads "
        "(default: keep)",
    )
    fuse.add_argument(
        "--target",
        choices=("keras3",),
        help="Keras models in HDF5: clean the config up so that Keras 3 loads it",
    )

    verify = commands.add_parser(
        "verify", help="decide whether two files compute the same function"
    )
    verify.add_argument("before", metavar="BEFORE")
    verify.add_argument("after", metavar="AFTER")
    _add_common(verify)
    verify.add_argument(
        "--max-rho",
        type=number,
        metavar="R",
        help="accept blocks that are equal up to arithmetic in their own dtype, as other tools "
        "fuse, if their rho is at most R",
    )
    verify.add_argument(
        "--run",
        choices=("torch", "keras"),
        help="also run both files in their models, in float64, with the framework installed here",
    )
    verify.add_argument(
        "--model",
        metavar="FILE.py",
        help="for --run: Python that defines train(), deploy() and the input's shape; it is run",
    )

    recipes = commands.add_parser("recipes", help="list the known families, or show one")
    recipes.add_argument("name", metavar="NAME", nargs="?")
    return top


def _add_common(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--recipe",
        action="append",
        metavar="NAME|FILE.toml",
        help="use this recipe instead of all built-in ones; may be repeated",
    )
    command.add_argument(
        "--eps",
        type=number,
        metavar="E",
        help="constant of the norms, overriding config.json and the recipe",
    )
    command.add_argument(
        "--input-size",
        type=size,
        metavar="HxW",
        help="pixels of the input: for Keras nets with strided 'same' padding, and for --run",
    )
    command.add_argument(
        "--config",
        metavar="MODEL.json",
        help="what model.to_json() of Keras wrote, for weights saved without their graph",
    )
    command.add_argument("--json", action="store_true", help="print one JSON object")


def number(text: str) -> float:
    """Read eps or rho; argparse shows this function's name where the text is no number."""
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}: expected a finite number of at least 0")
    return value


def size(text: str) -> tuple[int, ...]:
    """Read an input size such as 224x224; argparse shows this function's name if it is none."""
    parts = text.split("x")
    if not all(p.isdecimal() and len(p) < 8 and int(p) > 0 for p in parts):  # noqa: PLR2004
        raise argparse.ArgumentTypeError(f"{text}: expected pixels per axis, such as 224x224")
    return tuple(map(int, parts))


def _version() -> str:
    from reparam import __version__  # noqa: PLC0415  the package itself is light

    return __version__


def _complain(what: Any, code: int) -> int:
    print(f"reparam: {printable(str(what))}", file=sys.stderr)  # noqa: T201  the command's voice
    return code


if __name__ == "__main__":
    sys.exit(main())
