"""Arithmetic that is not IEEE 754's is refused: the processor is really switched, in a process."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from reparam import environment
from reparam.environment import check_environment
from reparam.errors import NumericError
from reparam.rounding import FORMATS

EXAMPLE = Path(__file__).parents[1] / "docs" / "examples" / "repvgg_digits.safetensors"

# The C library's record of the floating-point environment holds the control register: MXCSR is the
# eighth word of it on x86-64, FPCR the first on AArch64.
WORD, BITS = {
    "x86_64": (7, {"FTZ": 0x8000, "DAZ": 0x40, "down": 0x2000, "up": 0x4000, "zero": 0x6000}),
    "aarch64": (0, {"FTZ": 1 << 24, "down": 2 << 22, "up": 1 << 22, "zero": 3 << 22}),
}.get(platform.machine(), (0, {}))
MESSAGES = {"FTZ": "subnormal numbers become zero", "DAZ": "subnormal numbers become zero"}
USES = {
    "check": "from reparam.environment import check_environment as use",
    "fuse": "use = lambda: reparam.fuse(path, None)",
    "fuse_state_dict": "use = lambda: reparam.fuse_state_dict({})",
    "verify": "use = lambda: reparam.verify(path, path)",
}

SCRIPT = """
import ctypes, sys
import numpy, reparam
path, word, bits = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
USE
libm = ctypes.CDLL("libm.so.6")
record = (ctypes.c_uint32 * 8)()
assert libm.fegetenv(record) == 0
record[word] |= bits
assert libm.fesetenv(record) == 0
numpy.seterr(all="raise")
error = None
try:
    use()
except reparam.NumericError as caught:
    error = caught
record[word] &= ~bits
libm.fesetenv(record)
from reparam.environment import check_environment
check_environment()
print(error)
"""


def run(use, bits):
    script = SCRIPT.replace("USE", USES[use])
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", script, str(EXAMPLE), str(WORD), str(bits)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.mark.skipif(
    not BITS or platform.libc_ver()[0] != "glibc", reason="knows the registers of two processors"
)
@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("switch", BITS)
def test_a_switched_processor_is_refused(switch, use):
    message = run(use, BITS[switch])
    assert MESSAGES.get(switch, "sums are not rounded to the nearest number") in message
    assert "float32: " in message
    assert "float64: " in message
    assert "Switch it back" in message


def test_the_usual_environment_is_fine():
    check_environment()
    with np.errstate(all="raise"):
        check_environment()


class Flushed(np.ndarray):
    """Arrays of an arithmetic that flushes float32 alone."""

    def __array_ufunc__(self, function, method, *inputs, **options):
        plain = [np.asarray(v) if isinstance(v, np.ndarray) else v for v in inputs]
        result = getattr(function, method)(*plain, **options)
        if result.dtype != np.float32:
            return result.view(Flushed)
        small = np.abs(result) < FORMATS["float32"].smallest_normal
        return np.where(small, np.float32(0), result).view(Flushed)


class Twice(np.ndarray):
    """Arrays of an arithmetic that rounds sums to the 64 digits of x87 first."""

    def __array_ufunc__(self, function, method, *inputs, **options):
        plain = [np.asarray(v) if isinstance(v, np.ndarray) else v for v in inputs]
        if function is np.add:
            kind = np.result_type(*plain)
            return function(*(v.astype(np.longdouble) for v in plain)).astype(kind).view(Twice)
        return getattr(function, method)(*plain, **options).view(Twice)


@pytest.mark.parametrize(
    ("arithmetic", "message"),
    [
        (Flushed, "float32: subnormal numbers become zero."),
        pytest.param(
            Twice,
            "float64: sums are not rounded to the nearest number.",
            marks=pytest.mark.skipif(
                np.finfo(np.longdouble).nmant != 63, reason="has no numbers of 64 digits"
            ),
        ),
    ],
)
def test_what_no_switch_does_is_seen_where_the_arithmetic_is_given(
    arithmetic, message, monkeypatch
):
    full = np.full
    monkeypatch.setattr(environment.np, "full", lambda *given: full(*given).view(arithmetic))
    with pytest.raises(NumericError) as caught:
        check_environment()
    assert f"{message} Another library" in str(caught.value)
    assert ("float64" in str(caught.value)) == (arithmetic is Twice)
