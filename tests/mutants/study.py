"""The 42 mutants of the study that this suite began with, and where each of them lives here.

In that study a fresh model compared with `allclose` noticed 4 of them, the script that RepVGG's
authors published 8, random statistics with PyTorch's own tolerances 10, and properties like those
of this suite 42.
"""

STUDY = {
    1: ("norm", "eps outside the root"),
    2: ("norm", "eps forgotten"),
    3: ("norm", "eps always 1e-5"),
    4: ("norm", "variance taken for a deviation"),
    5: ("norm", "sign of the mean"),
    6: ("layers", "gamma and beta swapped"),
    7: ("layers", "mean and variance swapped"),
    8: ("norm", "missing gamma is 0"),
    9: ("norm", "missing beta drops the mean"),
    10: ("norm", "unbiased variance"),
    11: ("norm", "negative variance clipped"),
    12: ("layers", "float32 arithmetic"),
    13: ("layers", "bias dropped"),
    14: ("layers", "bias not scaled"),
    15: ("layers", "inputs scaled when square"),
    16: ("layers", "inputs scaled when square, kernels of Keras"),
    17: ("layouts", "inputs and outputs swapped when square"),
    18: ("layouts", "rows and columns swapped when square"),
    19: ("layouts", "depthwise channels in the other order"),
    20: ("layers", "scales of a depthwise layer in the other order"),
    21: ("layers", "transposed: inputs scaled when square"),
    22: ("layers", "transposed: groups ignored"),
    23: ("layers", "identity i % groups"),
    24: ("layers", "identity i // groups"),
    25: ("geometry", "padded by one, always"),
    26: ("geometry", "padded around k // 2"),
    27: ("geometry", "padded on the other axis"),
    28: ("keras_taps", "stride of a window ignored"),
    29: ("algebra", "bias of the first layer dropped"),
    30: ("algebra", "transposed when square"),
    31: ("algebra", "groups ignored"),
    32: ("algebra", "borders not checked"),
    33: ("algebra", "bias of an identity dropped"),
    34: ("rounding", "overflow to infinity"),
    35: ("rounding", "bfloat16 and float8 rounded twice"),
    36: ("rounding", "bfloat16 truncated"),
    37: ("layers", "scaled in place"),
    38: ("linear", "view of the kernel kept"),
    39: ("linear", "memory layout ignored"),
    40: ("norm", "NaN becomes 0"),
    41: ("rounding", "subnormals flushed"),
    42: ("geometry", "kernel flipped"),
}
"""Number in the study: module and name here."""
