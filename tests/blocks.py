"""What our own tests need besides `reparam.testing`: blocks bound by hand, 1x1 convolutions."""

from dataclasses import dataclass

import numpy as np

from reparam import operations as ops
from reparam.testing import convs


@dataclass
class Block:
    """An operation with its tensors, which it gives as `reparam.operations.Read` does."""

    op: ops.Operation
    tensors: dict[str, np.ndarray]
    rank: int

    def read(self, name, rows=None):
        return self.tensors[name] if rows is None else self.tensors[name][slice(*rows)]


def pointwise(rank, inputs, outputs, **fixed):
    """Draw a 1x1 convolution."""
    plain = {"kernel_size": 1, "origin": 0, "dilation": 1}
    return convs(rank, inputs, outputs, **(plain | fixed))
