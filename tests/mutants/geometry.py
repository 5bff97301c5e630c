"""The record of a convolution, and moving its taps."""

from mutants.record import edits

SEQUENCES = "tests/test_sequences.py"
ALGEBRA = "tests/test_algebra.py"
FOLD = "tests/test_fold.py"

LINEAR = edits(
    "reparam/linear.py",
    ALGEBRA,
    (
        "even kernel centred by k // 2",
        "d * (k - 1) // 2 for d",
        "d * k // 2 for d",
        "test_an_average_pool_is_the_mean_of_each_padded_window",
    ),
) + edits(
    "reparam/linear.py",
    f"{FOLD}::test_damage_is_named_by_tensor_and_index_in_any_slab",
    ("index of an error within the slab", "[index[0] + first, ", "[index[0], "),
)

GEOMETRY = edits(
    "reparam/geometry.py",
    ALGEBRA,
    ("padded by one, always", "first = [new - old for new", "first = [1 for new"),
    (
        "padded around k // 2",
        "place = tuple((k - 1) // 2 for k",
        "place = tuple(k // 2 for k",
        "test_a_pointwise_kernel_is_padded_around_its_centre",
    ),
    (
        "padded on the other axis",
        "return tuple(slice(f, e, d) for f, e, d in zip(first, last, conv.dilation, strict=True))",
        "return tuple(slice(f, e, d) for f, e, d in zip(first, last, conv.dilation))[::-1]",
    ),
    (
        "dilation ignored",
        "return tuple(d * (k - 1) + 1 for d, k in zip(conv.dilation, conv.space, strict=True))",
        "return conv.space",
    ),
    (
        "kernel flipped",
        "    kernel[taps] = conv.kernel",
        "    kernel[taps] = conv.kernel[..., ::-1]",
    ),
    (
        "groups in the wrong order",
        "    view[...] = conv.kernel.reshape(view.shape)",
        "    view[:, ::-1] = conv.kernel.reshape(view.shape)",
        "test_a_kernel_written_with_fewer_groups_computes_the_same",
    ),
    (
        "least of the groups",
        "return math.gcd(*(b.groups",
        "return min(*(b.groups",
        "test_a_sum_of_branches_is_the_sum_of_their_outputs",
    ),
    (
        "transposition lost",
        "transposed=conv.transposed",
        "transposed=False",
        "test_a_transposed_linear_layer_is_no_plain_branch",
    ),
    (
        "stride of a linear layer lost",
        "groups=conv.groups, stride=stride",
        "groups=conv.groups",
        "test_a_sum_of_branches_is_the_sum_of_their_outputs",
    ),
    (
        "least of the origins",
        "tuple(max(axis) for axis",
        "tuple(min(axis) for axis",
        "test_a_sum_of_branches_is_the_sum_of_their_outputs",
    ),
)


COVERED = [
    *edits(
        "reparam/linear.py",
        ALGEBRA,
        (
            "inputs of one group",
            "else shape[1] * self.groups",
            "else shape[1]",
            "test_a_kernel_written_with_fewer_groups_computes_the_same",
        ),
        (
            "inputs of a transposed layer",
            "return shape[0] if self.transposed else",
            "return shape[1] if self.transposed else",
            "test_a_fused_norm_is_the_norm_after_the_convolution",
        ),
        (
            "a linear layer has an axis",
            "return self.kernel.ndim - 2",
            "return max(self.kernel.ndim - 2, 1)",
            "test_a_fused_norm_is_the_norm_after_the_convolution",
        ),
        (
            "dilation of a result lost",
            "dilation or (like.dilation if like else plain)",
            "dilation or plain",
            "test_a_fused_norm_is_the_norm_after_the_convolution",
        ),
        (
            "stride of a result lost",
            "stride or (like.stride if like else plain)",
            "stride or plain",
            "test_a_fused_norm_is_the_norm_after_the_convolution",
        ),
        (
            "origin of a result lost",
            "fallback = like.origin if like else (0,) * rank",
            "fallback = (0,) * rank",
            "test_a_fused_norm_is_the_norm_after_the_convolution",
        ),
        (
            "transposition of a result lost",
            "like.transposed if like else transposed",
            "transposed",
            "test_a_fused_norm_is_the_norm_after_the_convolution",
        ),
    ),
    *edits(
        "reparam/linear.py",
        SEQUENCES,
        (
            "a 1x1 beside its position is pointwise",
            " and not any(self.origin)",
            "",
            "test_a_sequence_is_exact_along_the_border_or_refused[layers0-zero]",
        ),
    ),
    *edits(
        "reparam/geometry.py",
        ALGEBRA,
        (
            "groups inside out",
            "kernel.reshape((groups, ratio, out, ratio, width",
            "kernel.reshape((ratio, groups, out, ratio, width",
            "test_a_kernel_written_with_fewer_groups_computes_the_same",
        ),
    ),
]

MUTANTS = [
    *LINEAR,
    *GEOMETRY,
    *COVERED,
    *edits(
        "reparam/linear.py",
        "tests/test_algebra.py::test_a_kernel_of_one_row_is_not_pointwise",
        (
            "a 1x3 is pointwise",
            "return all(k == 1 for k in self.space)",
            "return any(k == 1 for k in self.space)",
        ),
    ),
]
