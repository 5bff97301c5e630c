"""Deploy forms that other tools made in float32: equal within rho, never identical.

timm and torch fuse their own nets. Blocks under official names are converted by running them: the
kernel is what impulses answer once nothing adds a constant, the bias what zeros answer.
"""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import timm
import torch
import torchvision
from oracle import nets
from oracle.modules import dbb, rep_blocks
from timm.utils.model import reparameterize_model
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

import reparam
from reparam.certificate import Grade
from reparam.cli import main

TIMM = ["repvgg_a0", "mobileone_s0", "fastvit_t8", "repvit_m1"]
RHO = 1e-6


def built(name):
    torch.manual_seed(0)
    return nets.randomise(timm.create_model(name, pretrained=False))


def state_of(net):
    return {n: v.detach().clone() for n, v in net.state_dict().items()}


def named_in(report):
    return {d.name for d in report.differences}


@pytest.fixture(scope="module", params=TIMM)
def pair(request):
    """A net of timm, and timm's own fusion of it."""
    train = built(request.param)
    return train, reparameterize_model(train)


@pytest.fixture
def verify(save):
    def verify(train, after, **options):
        after = after if isinstance(after, dict) else state_of(after)
        return reparam.verify(save(train), save(after, "after.safetensors"), **options)

    return verify


def assert_within(report, rho=RHO):
    """Another tool's float32: as good as that can be, and not mistaken for the nearest numbers."""
    assert report.grade is Grade.WITHIN, report
    assert not report.ok
    assert max(block.rho for block in report.blocks) < rho
    assert report.certificate > 0
    assert all(not block.cause for block in report.blocks)
    fused = [b for b in report.blocks if b.grade is Grade.WITHIN]
    assert len(fused) > report.fused / 2


# --- timm and torch ------------------------------------------------------------------------------


def test_what_timm_fuses(pair, verify):
    report = verify(*pair)
    assert_within(report)
    assert report.fused == len(report.plan.fusions)
    assert report.untouched == 0
    assert report.extra == ()
    assert verify(*pair, max_rho=RHO).ok
    assert not verify(*pair, max_rho=1e-9).ok


def test_edits_of_what_timm_fuses(pair, save, verify):
    """Three edits that no comparison of outputs sees, each found where it is."""
    train, deploy = pair
    after = state_of(deploy)
    fused = [f.kernel.name for f in reparam.plan(save(train)).fusions if "head" not in f.name]
    scaled, one = fused[0], fused[len(fused) // 2]
    head = next(n for n in reversed(after) if n.endswith("bias") and after[n].shape == (1000,))
    after[scaled] *= 1 + 1e-6
    after[head] += 1e-4
    index = tuple(n - 1 for n in after[one].shape)
    after[one][index] *= 1.01
    report = verify(train, after, max_rho=1)
    assert not report.ok
    assert named_in(report) == {scaled, one, head}
    what = {d.name: str(d) for d in report.differences}
    assert f"{one}[{', '.join(map(str, index))}] is " in what[one]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ["repvgg_a0", "fastvit_t8"])
def test_what_timm_fuses_in_lower_precision(name, verify, dtype):
    """Rounded twice at times; never DIFFERENT, and rho is what that dtype costs."""
    train = built(name)
    deploy = reparameterize_model(train)
    after = copy.deepcopy(deploy).to(getattr(torch, dtype))
    report = verify(train, after)
    assert report.grade <= Grade.WITHIN, report.problems
    unit = {"float16": 2.0**-11, "bfloat16": 2.0**-8}[dtype]
    assert unit / 10 < max(block.rho for block in report.blocks) < unit * 1.05
    assert report.causes == {}
    assert verify(train, after, max_rho=unit * 1.05).ok


def test_an_edit_behind_a_dormant_channel(verify):
    """Random images give the same outputs bit by bit; a bright one does not."""
    train = built("repvgg_a0")
    block, after_it = train.stages[1][0], "stages.1.1.reparam_conv.weight"
    for norm in (block.conv_kxk.bn, block.conv_1x1.bn):
        with torch.no_grad():
            norm.weight[7] = 1e-3  # off unless the input is bright
            norm.bias[7] = -5
    deploy = reparameterize_model(train)
    edited = copy.deepcopy(deploy)
    with torch.no_grad():
        edited.state_dict()[after_it][:, 7] += 307
        for seed in range(2):
            x = nets.image(3, 64, 64, seed=seed).float()
            assert torch.equal(deploy(x), edited(x))
        bright = torch.full((1, 3, 64, 64), -3e5)
        signs = [torch.equal(deploy(k * bright), edited(k * bright)) for k in (1, -1)]
        assert not all(signs)
    assert_within(verify(train, deploy))
    report = verify(train, edited, max_rho=1)
    assert not report.ok
    assert named_in(report) == {after_it}
    (block,) = (b for b in report.blocks if b.grade is Grade.DIFFERENT)
    assert block.worst.index[1] == 7
    assert block.off >= edited.state_dict()[after_it][:, 7].numel()


def fused_by_torch(net):
    """torch's `fuse_conv_bn_eval` on every pair."""
    twin = copy.deepcopy(net)
    for norm, (conv,) in nets.pairs(net, nets.image(3, 64, 64)).items():
        both = twin.get_submodule(conv), twin.get_submodule(norm)
        nets.set_module(twin, conv, fuse_conv_bn_eval(*both))
        nets.set_module(twin, norm, nn.Identity())
    return twin


def test_resnet_fused_by_torch(verify, tmp_path, capsys):
    train = nets.randomise(torchvision.models.resnet18(weights=None))
    deploy = fused_by_torch(train)
    assert_within(verify(train, deploy))
    files = tmp_path / "train.safetensors", tmp_path / "after.safetensors"
    assert main(["verify", *map(str, files)]) == 1
    assert main(["verify", *map(str, files), "--max-rho", "1e-6"]) == 0
    capsys.readouterr()
    main(["verify", *map(str, files), "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["grade"] == "within rho"
    assert found["network"]["bound"] < 30 * RHO
    after = state_of(deploy)
    after["layer3.1.conv2.bias"][100] += 1e-4
    after["fc.bias"][999] += 1e-4
    report = verify(train, after, max_rho=1)
    assert named_in(report) == {"layer3.1.conv2.bias", "fc.bias"}
    assert {str(d).partition(" ")[0] for d in report.differences} == {
        "layer3.1.conv2.bias[100]",
        "fc.bias[999]",
    }


def test_a_net_fused_by_torch_in_float64(verify):
    train = nets.randomise(torchvision.models.resnet18(weights=None))
    deploy = fused_by_torch(copy.deepcopy(train).double())
    report = verify(train, deploy)
    assert report.grade <= Grade.WITHIN
    assert max(block.rho for block in report.blocks) < 1e-14
    rounded = state_of(copy.deepcopy(deploy).float())
    assert verify(train, rounded).grade <= Grade.WITHIN
    assert max(block.rho for block in verify(train, rounded).blocks) < 2.0**-24 * 1.01


# --- blocks under official names ------------------------------------------------------------------


def sum_of_branches(block, x):
    """What the fused convolution has to compute, for every kind of block below."""
    if isinstance(block, nets.RepBlock):
        kinds = (block.names[n] for n in ("dense", "point", "identity"))
        return sum(block.get_submodule(n)(x) for n in kinds if hasattr(block, n))
    if isinstance(block, rep_blocks.Block):
        y = sum(block.branch(names, x) for names in block.branches)
        for name in block.post:
            y = block.get_submodule(name)(y)
        return y
    return sum(branch(x) for branch in block.children())


def without_constants(block):
    """The same block with nothing that adds a constant."""
    linear = copy.deepcopy(block)
    with torch.no_grad():
        for module in linear.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.bias.zero_()
                module.running_mean.zero_()
            elif isinstance(module, nn.Conv2d) and module.bias is not None:
                module.bias.zero_()
    return linear


@torch.no_grad()
def converted(block, like):
    """Kernel and bias of a block, from float32 runs of it."""
    out, width, *size = like.weight.shape
    (k, _), (step, _), (pad, _) = size, like.stride, like.padding
    inputs, at = width * like.groups, max(pad, 2)  # an output that sees no border
    side = step * at + 2 * k
    zero = torch.zeros(1, inputs, side, side)
    bias = sum_of_branches(block, zero)[0, :, at, at]
    linear, kernel = without_constants(block), torch.zeros(out, width, k, k)
    for i in range(inputs):
        x = torch.zeros(k * k, inputs, side, side)
        for tap in range(k * k):
            x[tap, i, step * at - pad + tap // k, step * at - pad + tap % k] = 1
        group = i // width
        mine = slice(group * out // like.groups, (group + 1) * out // like.groups)
        answer = sum_of_branches(linear, x)[:, mine, at, at]
        kernel[mine, i % width] = answer.T.reshape(-1, k, k)
    return kernel, bias


OFFICIAL = {
    "RepVGG": lambda deploy: nets.rep_net(nets.OFFICIAL, deploy=deploy),
    "RepVGG, grouped": lambda deploy: nets.rep_net(nets.OFFICIAL, groups=4, deploy=deploy),
    "RepVGG, mmpretrain": lambda deploy: nets.rep_net(nets.MMPRETRAIN, se=True, deploy=deploy),
    "MobileOne, apple": lambda deploy: rep_blocks.mobileone_net("apple", deploy=deploy),
    "MobileOne, mmpretrain": lambda deploy: rep_blocks.mobileone_net("mmpretrain", deploy=deploy),
    "QARepVGG V2": lambda deploy: rep_blocks.qarepvgg_net("V2", deploy=deploy),
    "DBB": lambda deploy: dbb.resnet(deploy=deploy),
}


@pytest.mark.parametrize("name", OFFICIAL)
def test_official_blocks_converted_in_float32(name, save, verify):
    """Every float32 result is within; one number altered in each block is found in each."""
    torch.manual_seed(1)
    train, deploy = nets.randomise(OFFICIAL[name](deploy=False)), OFFICIAL[name](deploy=True)
    before = save(train)
    ours = before.with_name("ours.safetensors")
    reparam.fuse(before, ours)
    after = {n: torch.from_numpy(v.copy()) for n, v in _load(ours).items()}
    fused = []
    for fusion in reparam.plan(before).fusions:
        block = train.get_submodule(fusion.name.rpartition(".")[0])
        if isinstance(block, (nets.RepBlock, rep_blocks.Block, dbb.DiverseBranchBlock)):
            like = deploy.get_submodule(fusion.name)
            after[f"{fusion.name}.weight"], after[f"{fusion.name}.bias"] = converted(block, like)
            fused.append(fusion.name)
    assert len(fused) >= 4
    report = verify(train, after)
    assert report.grade is Grade.WITHIN, report
    foreign = {b.name: b for b in report.blocks if b.name in fused}
    assert all(b.rho < RHO for b in foreign.values())
    assert max(b.grade for b in foreign.values()) is Grade.WITHIN
    own = [b for b in report.blocks if b.name not in fused]
    assert all(b.grade is Grade.IDENTICAL for b in own)
    assert verify(train, after, max_rho=RHO).ok

    for path in fused:
        after[f"{path}.weight"].view(-1)[-1] += 1e-2
    report = verify(train, after, max_rho=1)
    assert named_in(report) == {f"{path}.weight" for path in fused}
    for block in report.blocks:
        if block.name in fused:
            shape = after[f"{block.name}.weight"].shape
            assert block.worst.index == tuple(n - 1 for n in shape)


def _load(path):
    from safetensors.numpy import load_file  # noqa: PLC0415  beside torch's of the same name

    return load_file(path)


def test_our_fusion_of_the_same_nets_is_identical(pair, save, tmp_path):
    path = save(pair[0])
    out = tmp_path / "ours.safetensors"
    reparam.fuse(path, out)
    report = reparam.verify(path, out)
    assert report.grade <= Grade.ROUNDING
    assert np.isfinite(report.network)
    assert report.network < 1e-5
