"""Keras: sums of branches and where their taps lie."""

# ruff: noqa: E501  edits of long lines are long

from mutants.record import edits, tested

PARTS = "tests/test_keras_parts.py"
CONFIG = "tests/test_keras_config.py"
GRAPHS = "tests/test_keras_graphs.py"


def _graph(name, test="test_fused_and_equal"):
    """The test of one graph in one kind of file."""
    return f"{GRAPHS}::{test}[{name}]"


def _equal(name):
    return _graph(name, test="test_equal_or_refused")


KERAS_TAPS = tested(
    "adapters/reparam_adapters/keras_taps.py",
    (
        "sign of an offset",
        "m.before(n) - o.before(n)",
        "o.before(n) - m.before(n)",
        _graph("an odd strided block-.h5", "test_one_convolution_is_left"),
    ),
    (
        "every size even",
        "tried = [size] if",
        "tried = [size + size % 2] if",
        _graph("an odd strided block-.h5"),
    ),
    (
        "every size odd",
        "tried = [size] if",
        "tried = [size | 1] if",
        _graph("an even strided block-.h5"),
    ),
    (
        "unknown size taken for known",
        "range(1, 130)",
        "range(224, 225)",
        f"{GRAPHS}::test_an_unknown_size_keeps_branches_apart",
    ),
    (
        "stride of a window ignored",
        "self.taps, self.stride, self.dilation",
        "self.taps, 1, self.dilation",
        _graph("an even strided block-.h5"),
    ),
    (
        "dilation of a window ignored",
        "self.taps, self.stride, self.dilation",
        "self.taps, self.stride, 1",
        _graph("dilated alike-.h5", "test_one_convolution_is_left"),
    ),
    (
        "pads of a layer before ignored",
        "first = self.pads[0]",
        "first = 0",
        _graph("zeros of their own-.h5"),
    ),
    (
        "taps off the grid",
        "on_grid = spot % m.dilation == 0 and",
        "on_grid = True or",
        f"{GRAPHS}::test_pairs_that_are_not_summed",
    ),
    (
        "taps outside",
        "if spot < 0 or last > (m.taps - 1) * m.dilation or not on_grid:",
        "if not on_grid:",
        _equal("crossed kernels-.h5"),
    ),
)

KERAS_BRANCHES = tested(
    "adapters/reparam_adapters/keras_branches.py",
    (
        "place from the wrong end",
        "place = [c - s // g for",
        "place = [s // g for",
        _graph("even kernels-.h5"),
    ),
    (
        "origin of an identity",
        "(bare[0] if bare else",
        "(0 if bare else",
        _graph("an identity-.h5"),
    ),
    (
        "dilation on a dilated grid",
        "w.dilation // g if w.taps > 1",
        "w.dilation if w.taps > 1",
        _graph("dilated alike-.h5"),
    ),
    (
        "place on a dilated grid",
        "max(s[axis] for s in spots)) // grid",
        "max(s[axis] for s in spots)) // 1",
        _graph("dilated, with an identity-.h5"),
    ),
    (
        "different sizes",
        " or len({w[axis].excess for w in known}) > 1:",
        ":",
        f"{GRAPHS}::test_pairs_that_are_not_summed",
    ),
    (
        "different strides summed",
        "if len({w[axis].stride for w in known}) > 1 or ",
        "if ",
        f"{GRAPHS}::test_pairs_that_are_not_summed",
    ),
    (
        "different groups",
        "if not all(_groups_hold(main.conv, b) for b in branches):",
        "if False:",
        f"{GRAPHS}::test_pairs_that_are_not_summed",
    ),
    (
        "different shapes",
        "if _differ([s for s in shapes if s is not None]):",
        "if False:",
        f"{GRAPHS}::test_pairs_that_are_not_summed",
    ),
    (
        "second consumer of a branch",
        "if blocked or not scope.only_use(start.key) or len(layer.calls)",
        "if blocked or len(layer.calls)",
        _equal("a branch used elsewhere-.h5"),
    ),
    (
        "activation of a branch ignored",
        'elif layer.class_name not in LINEAR or not is_linear(layer.config.get("activation")):',
        "elif layer.class_name not in LINEAR:",
        _equal("activation of a branch-.h5"),
    ),
    (
        "branches of different images",
        " or len({b.source for b in branches}) > 1:",
        ":",
        _equal("two inputs-.h5"),
    ),
    (
        "sign of a sum within a sum",
        "signs=below, sign=sign * own)",
        "signs=below, sign=sign)",
        _graph("a difference of sums-.h5"),
    ),
    (
        "transposed branches summed",
        'if any(f in ("transposed", "separable") for f, _ in families):',
        "if False:",
        f"{GRAPHS}::test_pairs_that_are_not_summed",
    ),
) + tested(
    "adapters/reparam_adapters/keras_sums.py",
    (
        "difference taken for a sum",
        "return [1, -1] if operation",
        "return [1, 1] if operation",
        _graph("a difference-.h5"),
    ),
)


COVERED = [
    *edits(
        "adapters/reparam_adapters/keras_sums.py",
        CONFIG,
        (
            "a sum with a number",
            "not layer.calls[0].plain or ",
            "",
            "test_sums_with_a_number_are_none",
        ),
        (
            "sums called twice",
            "len(layer.calls) != 1 or ",
            "not layer.calls or ",
            "test_sums_called_twice_are_none",
        ),
        (
            "operator with constants",
            '        if layer.config.get("constants"):\n',
            "        if False:\n",
            "test_layers_that_add_and_subtract",
        ),
        (
            "a subtraction by its short name",
            '"sub": "Subtract"',
            '"sub": "Add"',
            "test_layers_that_add_and_subtract",
        ),
        (
            "a subtraction of TensorFlow 2.3",
            '"Sub": "Subtract"',
            '"Sub": "Add"',
            "test_layers_that_add_and_subtract",
        ),
        (
            "function of any name",
            '.get(function, "")',
            '.get(function, "Add")',
            "test_layers_that_add_and_subtract",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/keras_taps.py",
        GRAPHS,
        (
            "extent ignored",
            'total - (1 if self.padding != "valid" else',
            "total - (1 if True else",
            "test_pairs_that_are_not_summed[space_broadcast_of_an_unknown_size-their outputs have different sizes-.keras]",
        ),
        (
            "padding of a layer before ignored",
            "        total = sum(self.pads)\n        return total",
            "        total = 0\n        return total",
            "test_one_convolution_is_left[zeros of their own-.keras]",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/keras_taps.py",
        PARTS,
        (
            "area without the dilation",
            "total *= (w.taps - 1) * w.dilation + 1",
            "total *= w.taps",
            "test_the_pixels_a_kernel_covers",
        ),
        (
            "area of one axis",
            "total *= (w.taps - 1) * w.dilation + 1",
            "total = (w.taps - 1) * w.dilation + 1",
            "test_the_pixels_a_kernel_covers",
        ),
    ),
]

MUTANTS = [*KERAS_TAPS, *KERAS_BRANCHES, *COVERED]
