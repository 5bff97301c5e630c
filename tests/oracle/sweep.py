"""Plan every model of timm and torchvision, fuse those that are planned, and run them.

    PYTHONPATH=.:adapters:tests python tests/oracle/sweep.py [--every N] [--all] [--match TEXT]

Planning needs names and shapes only, so every model is planned, without memory for its weights. A
model that is planned must be claimed with the eps of its own norms, pair every norm with the
convolution it follows when the model runs, and, up to 60 million parameters, give the same logits
after fusing. Where eps is asked for, the model's own is said. Files are saved in float64: rounding
to float32 alone moves the logits of some nets by more than the bound, and what is looked for here
is a wrong fusion. One line per model, then a summary; exit code 1 if anything is WRONG.
"""

from __future__ import annotations

import argparse
import copy
import sys
import tempfile
import warnings
from collections import Counter, OrderedDict
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import timm
import torch
import torchvision
from oracle import nets
from safetensors.torch import load_file, save_file
from timm.utils.model import reparameterize_model
from torch import nn

import reparam
from reparam import operations
from reparam.checkpoint import TensorInfo
from reparam.plans import Settings
from reparam.recipe_plan import plan_tensors

BOUND = 1e-6
LIMIT = 60_000_000
SIZES = 64, 224, 299
INITIALISERS = "kaiming_normal_", "kaiming_uniform_", "normal_", "trunc_normal_", "uniform_"


class Outcome(NamedTuple):
    """What became of one model.

    `equal`: same logits. `paired`: not run, or chaotic, but every norm is fused into the
    convolution it follows. `planned`: branches of a model that is too large to run. Or `refused`,
    or `WRONG`.
    """

    status: str
    detail: str


def models():
    """Every model of both libraries."""
    return [f"timm/{n}" for n in timm.list_models()] + [
        f"torchvision/{n}" for n in torchvision.models.list_models()
    ]


def build(name, device="cpu"):
    library, _, name = name.partition("/")
    torch.manual_seed(0)
    with warnings.catch_warnings(), torch.device(device):
        warnings.simplefilter("ignore")
        if library == "timm":
            return timm.create_model(name, pretrained=False).eval()
        builder = torchvision.models.get_model_builder(name)
        options = {"weights": None}
        if "weights_backbone" in builder.__annotations__:
            options["weights_backbone"] = None
        return torchvision.models.get_model(name, **options).eval()


def skeleton(name):
    """The model without weights."""
    try:
        return build(name, "meta")
    except NotImplementedError:  # it computes its layout with tensors
        keep = dict.fromkeys(INITIALISERS, lambda tensor, *_args, **_options: tensor)
        with mock.patch.multiple(nn.init, **keep):
            return build(name).to("meta")


def norms(net):
    """Every norm with statistics, by path."""
    return {n: m for n, m in net.named_modules() if getattr(m, "running_var", None) is not None}


def plan(net, eps=None):
    tensors = {
        name: TensorInfo(tuple(t.shape), str(t.dtype).removeprefix("torch."))
        for name, t in net.state_dict().items()
    }
    plan = plan_tensors(tensors, {}, "sweep", recipe=None, eps=eps, settings=Settings())
    plan.check()
    return plan


def plan_or_say(net):
    """Plan a model, saying the eps of its norms if it is asked for; gives what was said, too."""
    try:
        return plan(net), None
    except reparam.ReparamError as error:
        if "Say it with --eps" not in str(error):
            raise
    eps = Counter(m.eps for m in norms(net).values()).most_common(1)[0][0]
    return plan(net, eps), eps


def fused_norms(plan):
    """Path of every norm a plan fuses, and the eps it does so with."""
    leaves = (leaf for fusion in plan.fusions for leaf in operations.leaves(fusion.op))
    return {
        leaf.var.removesuffix(".running_var"): leaf.eps
        for leaf in leaves
        if isinstance(leaf, operations.NormOp)
    }


def plain_pairs(plan):
    """Norm and convolution of every fusion, or None if any fuses something else."""
    pairs = {}
    for fusion in plan.fusions:
        pair = operations.conv_norm_pair(fusion.op)
        if pair is None or len(fusion.kernel.info.shape) < 3:  # linear layers
            return None
        conv, norm = (name.rpartition(".")[0] for name in (pair[0].weight, pair[1].mean))
        pairs[norm] = conv
    return pairs


def run(net, x):
    found = nets.run(net, x)
    return found["out"] if isinstance(found, dict) else found


def first_size(net, attempt):
    """Call `attempt` with the smallest image the net takes."""
    first = next(m for m in net.modules() if isinstance(m, nets.CONVS))
    time = [16] if isinstance(first, nn.Conv3d) else []
    own = getattr(net, "pretrained_cfg", {}).get("input_size", [])[-1:]
    sizes = sorted({*SIZES, *own})
    for size in sizes:
        try:
            return attempt(net, nets.image(3, *time, size, size))
        except (AssertionError, IndexError, RuntimeError, ValueError):
            if size == sizes[-1]:
                raise
    return None


def observed(net, paths):
    """Norms that follow convolutions when the net runs, with these.

    Heads that only run in training are seen in training.
    """

    def attempt(net, x):
        x = x.to(device_of(net))
        seen = nets.pairs(net, x)
        if not paths <= seen.keys():
            seen |= nets.pairs(copy.deepcopy(net).train(), torch.cat([x, x]))
        return seen

    return first_size(net, attempt)


def check(name, limit=LIMIT):
    """Judge one model; it is run if it has at most `limit` parameters."""
    net = skeleton(name)
    try:
        found, said = plan_or_say(net)
    except reparam.ReparamError as error:
        return Outcome("refused", reason(error))
    fused = fused_norms(found)
    what = f"{', '.join(found.recipes)}: {len(fused)} norms"
    what += "" if said is None else f", eps {said:g} said"
    for path, eps in fused.items():
        if net.get_submodule(path).eps != eps:
            own = net.get_submodule(path).eps
            return Outcome("WRONG", f"{what}; {path} has eps {own:g}, fused with {eps:g}")
    if pairs := plain_pairs(found):
        try:
            paired = observed(net, pairs.keys())
        except NotImplementedError:  # what it computes cannot be followed without numbers
            paired = observed(build(name), pairs.keys())
        if astray := [n for n, conv in sorted(pairs.items()) if conv not in paired.get(n, ())]:
            return Outcome("WRONG", f"{what}; {astray[0]} does not follow {pairs[astray[0]]}")
        what += f" of {len(paired)} that follow a convolution"
    size = sum(p.numel() for p in net.parameters())
    if size > limit or hasattr(net, "roi_heads") or hasattr(net, "anchor_generator"):
        # too large, or a detector, which gives boxes in an order of their own
        return Outcome("paired" if pairs else "planned", what)
    error, chaotic = difference(name, said)
    what += f", relative error {error:.1e}"
    if error <= BOUND:
        return Outcome("equal", what)
    return Outcome("paired", f"{what}, chaotic") if chaotic else Outcome("WRONG", what)


def reason(error):
    """The most telling line of a refusal."""
    lines = str(error).splitlines()
    told = [x.strip() for x in lines if x.startswith("  ") and "looked for" not in x]
    return told[0] if told else lines[0]


def device_of(net):
    return next(net.parameters()).device


def twins(train, x, state):
    """Deploy forms: timm's own, and the train form or timm's without the norms that were fused."""
    own = reparameterize_model(train).double() if hasattr(train, "pretrained_cfg") else train
    for net in (own, train):
        yield net
        followed = nets.pairs(net, x).items()
        if not followed <= nets.pairs(train, x).items():
            continue
        gone = {n: c for n, c in followed if f"{n}.running_var" not in state}
        yield nets.without_norms(net, gone)
    seen = observed(train, norms(train).keys()).items()
    yield nets.without_norms(train, {n: c for n, c in seen if f"{n}.running_var" not in state})


def difference(name, eps=None):
    """Fuse the model's file, load it into the deploy twin, and compare their logits.

    Also says whether the logits of the train form tell nothing, because moving the image by 1e-12
    moves them by more than the bound.
    """
    train = nets.randomise(build(name)).double()
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder, "train.safetensors"), Path(folder, "deploy.safetensors")
        save_file({k: v.clone().contiguous() for k, v in train.state_dict().items()}, before)
        assert reparam.fuse(before, after, eps=eps).verified
        state = load_file(after)

    def compare(train, x):
        wanted = run(train, x)
        twin = next(t for t in twins(train, x, state) if t.state_dict().keys() == state.keys())
        known = OrderedDict(state)
        known._metadata = twin.state_dict()._metadata  # versions, which no safetensors file holds
        twin.load_state_dict(known, strict=True)
        error = nets.relative(run(twin, x), wanted)
        return error, error > BOUND and nets.relative(run(train, x * (1 + 1e-12)), wanted) > BOUND

    return first_size(train, compare)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--every", type=int, default=1, help="take one model in N")
    parser.add_argument("--match", default="", help="only models whose name contains this")
    parser.add_argument("--all", action="store_true", help="run the largest models too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    count = Counter()
    for name in [n for n in models() if options.match in n][:: options.every]:
        outcome = check(name, sys.maxsize if options.all else LIMIT)
        count[outcome.status] += 1
        sys.stdout.write(f"{outcome.status:8}{name}: {outcome.detail}\n")
        sys.stdout.flush()
    sys.stdout.write(", ".join(f"{n} {status}" for status, n in sorted(count.items())) + "\n")
    return 1 if count["WRONG"] else 0


if __name__ == "__main__":
    sys.exit(main())
