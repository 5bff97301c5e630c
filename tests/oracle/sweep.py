"""Plan every model of timm and torchvision, fuse those that are planned, and run them.

    PYTHONPATH=.:adapters:tests python tests/oracle/sweep.py [--every N] [--all] [--match TEXT]

Planning needs names and shapes only, so every model is planned, without memory for its weights. A
model that is planned must be claimed with the eps of its own norms, pair every norm with the
convolution it follows when the model runs, and, up to 60 million parameters, give the same logits
after fusing. Files are saved in float64: rounding to float32 alone moves the logits of some nets by
more than the bound, and what is looked for here is a wrong fusion. One line per model, then a
summary; exit code 1 if anything is WRONG.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import timm
import torch
import torchvision
from oracle import nets
from safetensors.torch import load_file, save_file
from timm.utils.model import reparameterize_model

import reparam
from reparam import operations
from reparam.checkpoint import TensorInfo
from reparam.plans import Settings
from reparam.recipe_plan import plan_tensors

BOUND = 1e-6
LIMIT = 60_000_000
SIZES = 64, 224


class Outcome(NamedTuple):
    """What became of one model: `equal`, `paired` (not run, or chaotic), `refused` or `WRONG`."""

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
    """The model without weights; a few initialise themselves in ways that need memory."""
    try:
        return build(name, "meta")
    except NotImplementedError:
        return build(name)


def plan(net):
    tensors = {
        name: TensorInfo(tuple(t.shape), str(t.dtype).removeprefix("torch."))
        for name, t in net.state_dict().items()
    }
    plan = plan_tensors(tensors, {}, "sweep", recipe=None, eps=None, settings=Settings())
    plan.check()
    return plan


def fused_norms(plan):
    """Path of every norm a plan fuses, and the eps it does so with."""
    leaves = (leaf for fusion in plan.fusions for leaf in operations.leaves(fusion.op))
    return {
        leaf.var.removesuffix(".running_var"): leaf.eps
        for leaf in leaves
        if isinstance(leaf, operations.NormOp)
    }


def run(net, x):
    found = nets.run(net, x)
    return found["out"] if isinstance(found, dict) else found


def first_size(net, attempt):
    """Call `attempt` with the smallest image the net takes."""
    for size in SIZES:
        try:
            return attempt(net, nets.image(3, size, size))
        except (AssertionError, RuntimeError, ValueError):
            if size == SIZES[-1]:
                raise
    return None


def check(name, limit=LIMIT):
    """Judge one model."""
    net = skeleton(name)
    try:
        found = plan(net)
    except reparam.ReparamError as error:
        return Outcome("refused", str(error).splitlines()[0])
    norms = fused_norms(found)
    what = f"{', '.join(found.recipes)}: {len(norms)} norms"
    for path, eps in norms.items():
        if net.get_submodule(path).eps != eps:
            own = net.get_submodule(path).eps
            return Outcome("WRONG", f"{what}; {path} has eps {own:g}, fused with {eps:g}")
    if found.recipes != ("repvgg (timm)",):
        paired = first_size(net, lambda net, x: nets.pairs(net, x.to(device_of(net))))
        if astray := sorted(norms.keys() - paired.keys()):
            return Outcome("WRONG", f"{what}; {astray[0]} does not follow a convolution")
        what += f" of {len(paired)} that follow a convolution"
    if sum(p.numel() for p in net.parameters()) > limit:
        return Outcome("paired", what)
    error, chaotic = difference(name, found.recipes)
    what += f", relative error {error:.1e}"
    if error <= BOUND:
        return Outcome("equal", what)
    return Outcome("paired", f"{what}, chaotic") if chaotic else Outcome("WRONG", what)


def device_of(net):
    return next(net.parameters()).device


def difference(name, recipes):
    """Fuse the model's file, load it into the deploy twin, and compare their logits.

    Also says whether the logits of the train form tell nothing, because moving the image by 1e-12
    moves them by more than the bound.
    """
    train = nets.randomise(build(name)).double()
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder, "train.safetensors"), Path(folder, "deploy.safetensors")
        save_file({k: v.clone().contiguous() for k, v in train.state_dict().items()}, before)
        assert reparam.fuse(before, after).verified
        state = load_file(after)

    def compare(train, x):
        if recipes == ("repvgg (timm)",):
            twin = reparameterize_model(train)
        else:
            followed = nets.pairs(train, x).items()
            gone = {n: c for n, c in followed if f"{n}.running_var" not in state}
            twin = nets.without_norms(train, gone)
        twin.load_state_dict(state, strict=True)
        wanted = run(train, x)
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
