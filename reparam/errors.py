"""Every error the package raises on bad input.

Messages follow one form: what, where (file, block, tensor), saw and expected, what to do.
"""


class ReparamError(ValueError):
    """Base class: catching it catches everything this package refuses."""


class ShapeError(ReparamError):
    """Operands of the algebra do not fit together."""


class BorderError(ReparamError):
    """Two layers agree in the interior of an image but not along its zero-padded border."""


class NumericError(ReparamError):
    """A value is NaN or infinite, a variance is not positive, or a result overflows its dtype."""


class ExpressionError(ReparamError):
    """A branch expression cannot be read."""


class RecipeError(ReparamError):
    """A recipe file is malformed or unknown."""


class PlanError(ReparamError):
    """A checkpoint and a recipe do not fit, or no recipe claims the checkpoint."""


class DeployFormError(PlanError):
    """A checkpoint is in deploy form already, or never had norms; there is nothing to fuse."""


class CheckpointError(ReparamError):
    """A file is not a well-formed checkpoint, or cannot be written safely."""


class VerificationError(ReparamError):
    """A fused block does not compute what its train form computes; nothing was written."""


class RunError(ReparamError):
    """A framework is missing, or a model cannot be built, loaded or run."""
