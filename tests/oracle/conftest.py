"""Oracle tests compare fused files with the frameworks that define the nets.

They need torch, torchvision and timm, which the project itself never imports; where those are not
installed, nothing here is collected.
"""

from __future__ import annotations

from importlib.util import find_spec

import pytest

import reparam

HAVE_ORACLES = all(find_spec(name) for name in ("torch", "torchvision", "timm"))
collect_ignore_glob = [] if HAVE_ORACLES else ["*.py"]


@pytest.fixture
def save(tmp_path):
    """Save a net's state dict, or a dict of tensors, as PyTorch users do."""
    from safetensors.torch import save_file  # noqa: PLC0415  only where torch is

    def save(net, name="train.safetensors"):
        state = net if isinstance(net, dict) else net.state_dict()
        path = tmp_path / name
        save_file({k: v.clone().contiguous() for k, v in state.items()}, path, {"format": "pt"})
        return path

    return save


@pytest.fixture
def fuse(save, tmp_path):
    """Save a net, fuse the file, and load the result; gives the report and the state dict."""
    from safetensors.torch import load_file  # noqa: PLC0415  only where torch is

    def fuse(net, **options):
        output = tmp_path / "deploy.safetensors"
        report = reparam.fuse(save(net), output, overwrite=True, **options)
        assert report.verified
        return report, load_file(output)

    return fuse
