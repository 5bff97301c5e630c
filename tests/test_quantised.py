"""Checkpoints whose stored weights are codes are refused with the reason, never fused."""

import json
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from families.plain import repvgg

import reparam
from reparam.errors import CheckpointError, PlanError
from reparam.quantised import find_mark

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"
KERNEL = "stage1.0.rbr_dense.conv.weight"
FLOAT8 = ml_dtypes.float8_e4m3fn


def state(**more):
    """A RepVGG whose kernels are float8, with what stands beside one of them."""
    arrays = repvgg("official")
    for name in arrays:
        if name.endswith("conv.weight"):
            arrays[name] = arrays[name].astype(FLOAT8)
    assert KERNEL in arrays
    layer = KERNEL.removesuffix(".weight")
    return arrays | {f"{layer}.{role}": np.ones((), np.float32) for role in more.get("beside", ())}


def test_a_plain_float8_net_is_fused_and_stays_float8():
    fused = reparam.fuse_state_dict(state())
    made = {name: array for name, array in fused.items() if "rbr_reparam" in name}
    assert {array.dtype for array in made.values()} == {np.dtype(FLOAT8)}
    wide = reparam.fuse_state_dict(
        {k: v.astype(np.float32) if v.dtype == FLOAT8 else v for k, v in state().items()}
    )
    for name, array in made.items():
        # the sum of the branches, rounded twice here: by one unit at most
        np.testing.assert_allclose(array.astype(float), wide[name], rtol=2**-4, atol=2**-10)


@pytest.mark.parametrize(
    "role",
    [
        *("weight_scale", "weight_scale_inv", "input_scale", "scale_weight", "weight_zero_point"),
        *("weight_global_scale", "weight_scale_2", "weight.absmax", "weight.quant_map", "SCB"),
        *("weight.quant_state.bitsandbytes__fp4", "qweight", "weight_packed", "kernel_scale"),
    ],
)
def test_a_scale_beside_a_kernel_is_the_reason(role):
    mark = KERNEL.removesuffix("weight") + role
    with pytest.raises(PlanError) as caught:
        reparam.fuse_state_dict(state(beside=[role]))
    message = str(caught.value)
    assert f"{mark!r} stands beside a kernel" in message
    assert "Dequantise it first" in message
    assert "beside'" not in message  # no advice that would fuse it after all


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "float8_e4m3fnuz", "float8_e5m2fnuz"])
def test_kernels_of_other_dtypes_are_refused(dtype):
    arrays = state()
    arrays[KERNEL] = np.zeros(arrays[KERNEL].shape, getattr(ml_dtypes, dtype, dtype))
    with pytest.raises(PlanError, match=f"dtype {dtype} cannot be fused") as caught:
        reparam.fuse_state_dict(arrays)
    assert "Dequantise the checkpoint first" in str(caught.value)


def test_packed_layers_without_a_weight_are_named():
    arrays = {
        name.replace("conv.weight", "conv.weight_packed"): array for name, array in state().items()
    }
    with pytest.raises(PlanError, match="no recipe claims this file") as caught:
        reparam.fuse_state_dict(arrays)
    assert "saw: quantised weights (" in str(caught.value)
    assert "conv.weight_packed, …). Dequantise the checkpoint first." in str(caught.value)


def test_a_file_of_float4_is_refused(tmp_path):
    """Two numbers share a byte; no NumPy array says that."""
    header, blob = {}, b""
    for name, array in state().items():
        raw = array.tobytes()
        code = {"float32": "F32", "int64": "I64", "float8_e4m3fn": "F4"}[array.dtype.name]
        raw = raw[: len(raw) // 2] if code == "F4" else raw
        ends = [len(blob), len(blob) + len(raw)]
        header[name] = {"dtype": code, "shape": array.shape, "data_offsets": ends}
        blob += raw
    text = json.dumps(header).encode()
    path = tmp_path / "four.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + blob)
    with pytest.raises(PlanError, match="dtype f4 cannot be fused"):
        reparam.plan(path)


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2"])
@pytest.mark.parametrize(
    "name", ["depthwise_keras3.keras", "mobilenetv2_keras2.h5", "repvgg_same_keras3.weights.h5"]
)
def test_keras_files_hold_no_float8(name, dtype, tmp_path):
    recipe = {"recipe": "repvgg-keras", "input_size": (32, 32)} if "weights" in name else {}
    with pytest.raises(
        CheckpointError, match=f"Keras files do not hold {dtype}, expected one of float64"
    ):
        reparam.fuse(EXAMPLES / name, tmp_path / name, dtype=dtype, **recipe)
    assert not list(tmp_path.iterdir())


def test_scales_elsewhere_do_not_matter():
    """A quantised head does not keep the blocks in front of it from being fused."""
    arrays = state() | {"linear.weight_scale": np.ones((), np.float32)}
    assert "linear.weight_scale" in reparam.fuse_state_dict(arrays)


def test_names_of_ordinary_layers_are_no_marks():
    names = ["a.weight", "a.bias", "scale", "a.scale", "a.gamma", "a.weight_g", "weight_scale.x"]
    assert find_mark(names) is None
    assert find_mark([*names, "weight_scale", "a.qzeros"]) == "weight_scale"
