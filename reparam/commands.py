"""What each command of the command line does: call a verb, print its report.

The verbs are attributes of the package, which loads each when it is first used.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import reparam
from reparam.console import counted, printable

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Sequence
    from typing import Self

    from reparam.plans import Plan
    from reparam.recipe import Recipe
    from reparam.run_report import RunReport
    from reparam.verify_report import VerifyReport

PATIENCE = 1.0
"""Seconds after which a progress bar is worth looking at."""


def inspect(options: Namespace) -> int:
    """Show a plan."""
    found = reparam.plan(
        options.file,
        recipe=options.recipe,
        eps=options.eps,
        input_size=options.input_size,
        config=options.config,
        preview=not options.json,
    )
    if options.json:
        _print(found.to_json().rstrip())
    elif _on_terminal(sys.stdout):
        _print_plan(found)
    else:
        _print(str(found))
    return 0


def fuse(options: Namespace) -> int:
    """Fuse a file."""
    chosen = None
    if options.plan is not None:
        chosen = reparam.Plan.from_json(Path(options.plan).read_bytes().decode(errors="replace"))
    with _Progress() as progress:
        report = reparam.fuse(
            options.file,
            options.output,
            recipe=options.recipe,
            eps=options.eps,
            batch_norm=options.batch_norm or "remove",
            dtype=options.dtype or "keep",
            plan=chosen,
            verify=not options.no_verify,
            overwrite=options.overwrite,
            dry_run=options.dry_run,
            progress=progress.step,
            input_size=options.input_size,
            config=options.config,
            dialect=options.dialect,
            target=options.target,
        )
    if options.json:
        _print_json(report.as_dict())
    else:
        _print(str(report))
    return 0


def verify(options: Namespace) -> int:
    """Compare two files."""
    report = reparam.verify(
        options.before,
        options.after,
        recipe=options.recipe,
        eps=options.eps,
        # a state dict has no use for the size; the model that is run does
        input_size=None if options.run == "torch" else options.input_size,
        config=options.config,
        max_rho=options.max_rho,
    )
    if not options.json:
        _print(str(report))
    try:
        ran = _run(options, report) if options.run else None
    except reparam.ReparamError:
        if options.json:  # what was found on the way is not lost
            _print_json(report.as_dict() | {"ok": False, "run": None})
        raise
    if options.json:
        run = {} if ran is None else {"ok": report.ok and ran.ok, "run": ran.as_dict()}
        _print_json(report.as_dict() | run)
    elif ran is not None:
        _print(str(ran))
    return 0 if report.ok and (ran is None or ran.ok) else 1


def _run(options: Namespace, report: VerifyReport) -> RunReport:
    """Run both files in their models."""
    from reparam.running import run  # noqa: PLC0415  only where it is asked for

    return run(
        options.before,
        options.after,
        report.plan,
        framework=options.run,
        model=options.model,
        input_size=options.input_size,
        config=options.config,
        renamed=report.renamed,
    )


def recipes(options: Namespace) -> int:
    """List the recipes, or show one."""
    from reparam.library import find_recipes, installed_recipes  # noqa: PLC0415  costs an import

    if options.name is None:
        every = (*find_recipes(), *installed_recipes())
        _print("\n".join(line for recipe in every for line in _recipe_head(recipe)))
    else:
        (recipe,) = find_recipes([options.name])
        lines = _recipe_head(recipe)
        lines += [f"  assumes: {fact}" for fact in recipe.assumes]
        for spelling in recipe.spellings:
            lines.append(f"  spelling {spelling.name}:")
            if spelling.eps != recipe.eps:
                lines.append(f"    {spelling.eps.text()}")
            lines += [f"    {line}" for line in spelling.texts()]
        _print("\n".join(lines))
    return 0


def _recipe_head(recipe: Recipe) -> list[str]:
    eps = dict.fromkeys(spelling.eps.text() for spelling in recipe.spellings)
    lines = [
        f"{recipe.name}: {recipe.title}",
        f"  paper: {recipe.paper or 'none'}",
        f"  spellings: {' | '.join(spelling.name for spelling in recipe.spellings)}",
        *(f"  {text}" for text in eps),
    ]
    if recipe.by_name:
        lines.append(f"  only with --recipe {recipe.name}: {recipe.by_name}")
    return lines + [f"  note: {note}" for note in recipe.notes]


def _print(text: str) -> None:
    print(printable(text))  # noqa: T201  the command's voice; silent where there is no stdout


def _print_json(values: dict[str, Any]) -> None:
    _print(json.dumps(values, indent=1, allow_nan=False))


def _on_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()


def _print_plan(found: Plan) -> None:
    from reparam.report import FUSION_HEADS, fusion_rows, remarks  # noqa: PLC0415  as above

    _table(FUSION_HEADS, fusion_rows(found), title=f"{found.source}: {len(found.fusions)} fusions")
    _print("\n".join([f"{counted(len(found.copies), 'tensor')} copied", *remarks(found)]))


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], title: str | None = None) -> None:
    """Print a table: with rules and wrapping on a terminal, plain columns when piped."""
    if not _on_terminal(sys.stdout):
        widths = [max(len(row[i]) for row in (heads, *rows)) for i in range(len(heads))]
        for row in (heads, *rows):
            _print("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip())
        return
    from rich.console import Console  # noqa: PLC0415  only a terminal is worth its 40 ms
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(title=title, title_justify="left")
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(
            *(Text(printable(cell)) for cell in row)
        )  # Text: names are data, never markup
    Console().print(table)


class _Progress:
    """A progress bar on a terminal, from the moment the work has lasted `PATIENCE` seconds."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.bar: Any = None
        self.task: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    @property
    def step(self) -> Callable[[int, int], None] | None:
        """What `fuse` calls after each block; None where nobody looks."""
        return self._step if _on_terminal(sys.stderr) else None

    def _step(self, done: int, total: int) -> None:
        if self.bar is None and time.monotonic() - self.started > PATIENCE:
            from rich.console import Console  # noqa: PLC0415
            from rich.progress import Progress  # noqa: PLC0415

            self.bar = Progress(console=Console(stderr=True), transient=True)
            self.task = self.bar.add_task("fusing", total=total)
            self.bar.start()
        if self.bar is not None:
            self.bar.update(self.task, completed=done)
