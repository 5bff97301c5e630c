"""Checking fused slabs in a thread of its own, while the next ones are folded and written.

NumPy lets go of the interpreter while it computes, so on two cores checking a large file costs
little time. The queue is short: memory stays at a few slabs.
"""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from reparam.errors import VerificationError
from reparam.proof import BlockCheck, block_error, probe
from reparam.slabs import BlockReader

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from numpy.typing import NDArray

    from reparam.operations import Read, Rows
    from reparam.plans import Fusion

_WAITING = 4


@dataclass(frozen=True, slots=True)
class _Slab:
    """Some output channels of a fused block, waiting to be checked."""

    fusion: Fusion
    rows: Rows
    after: Read


class Checker:
    """Compares slabs of fused blocks with their train form.

    Args:
        read: Gives the tensors of the train form; called from the checker's thread.
    """

    def __init__(self, read: Read) -> None:
        self._read = read
        self._slabs: queue.Queue[_Slab | None] = queue.Queue(_WAITING)
        self._worst: dict[str, float] = {}
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="reparam-checker", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None and self._error is None:
            self._error = error  # what is still waiting no longer matters
        self._stop()

    def submit(self, fusion: Fusion, rows: Rows, after: Read) -> None:
        """Hand over the outputs `rows` of a block, whose deploy form `after` gives."""
        self._slabs.put(_Slab(fusion, rows, after))

    def finish(self) -> list[BlockCheck]:
        """Wait for all checks and return one result per block, in the order they came.

        Raises:
            VerificationError: An output differs by more than rounding can explain.
        """
        self._stop()
        if self._error is not None:
            raise self._error
        checks = [BlockCheck(name, error) for name, error in self._worst.items()]
        for check in checks:
            if not check.error <= 1:
                raise VerificationError(
                    f"{check.name}: an output of the fused block is {check.error:.3g} times its "
                    "rounding bound away from the train form. Nothing was written. Please report "
                    "this with the plan ('reparam inspect FILE --json')."
                )
        return checks

    def _stop(self) -> None:
        if self._thread.is_alive():
            self._slabs.put(None)
            self._thread.join()

    def _work(self) -> None:
        fusion: Fusion | None = None
        x: NDArray[Any] = np.empty(0)
        before: Read = self._read
        while (slab := self._slabs.get()) is not None:
            if self._error is not None:
                continue
            try:
                if slab.fusion is not fusion:
                    fusion = slab.fusion
                    x, before = probe(fusion), BlockReader(self._read)
                error = block_error(slab.fusion, before, slab.after, x, slab.rows)
                name = slab.fusion.name
                self._worst[name] = max(self._worst.get(name, 0.0), error)
            except BaseException as problem:  # noqa: BLE001  raised again by the main thread
                self._error = problem
