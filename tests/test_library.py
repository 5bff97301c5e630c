"""Recipes of other packages: found by their entry point, and used like those that are built in."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

ROOT = Path(__file__).parents[1]

RECIPE = """
name = "NAME"
title = "A net of a package"
paper = "https://example.org/NAME"
notes = ["It is made up."]

[eps]
value = 1e-2
source = "mynets/model.py"

[[spelling]]
name = "its own"
[[spelling.block]]
fuse = ["a_layer its_norm"]
"""


class Site:
    """A folder of installed packages."""

    def __init__(self, folder):
        self.folder = folder
        state = {"net.a_layer.weight": np.ones((4, 3, 3, 3), np.float32)}
        roles = ("weight", "bias", "running_mean", "running_var")
        state |= {f"net.its_norm.{role}": np.ones(4, np.float32) for role in roles}
        self.file = folder / "net.safetensors"
        save_file(state, self.file)

    def install(self, package, entry=None, **recipes):
        """Install a package; `recipes` are the texts of its files."""
        data = self.folder / package / "recipes"
        data.mkdir(parents=True)
        for path in (data.parent, data):
            (path / "__init__.py").touch()
        for name, text in recipes.items():
            (data / f"{name}.toml").write_text(text)
        info = self.folder / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        entry = entry or f"{package} = {package}.recipes"
        (info / "entry_points.txt").write_text(f"[reparam.recipes]\n{entry}\n")

    def run(self, *words):
        """Run the command where the packages are installed; gives the code and what it printed."""
        paths = (self.folder, ROOT, ROOT / "adapters")
        done = subprocess.run(
            [sys.executable, "-m", "reparam", *words],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths))},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        return done.returncode, done.stdout


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def test_a_recipe_of_a_package_is_found_like_a_built_in_one(site):
    code, text = site.run("inspect", str(site.file))
    assert code == 2
    assert "no recipe claims this file" in text
    site.install("mynets", mynet=RECIPE.replace("NAME", "mynet"))
    for options in ((), ("--recipe", "mynet"), ("--recipe", "mynet", "--eps", "0.01")):
        code, text = site.run("inspect", str(site.file), *options)
        assert code == 0, text
        assert "recipe mynet (its own)" in text
        assert "eps=0.01" in text


def test_it_is_listed_and_shown(site):
    site.install("mynets", mynet=RECIPE.replace("NAME", "mynet"))
    code, text = site.run("recipes")
    assert code == 0
    assert "mynet" in text
    assert "repvgg" in text
    code, text = site.run("recipes", "mynet")
    assert code == 0
    assert "A net of a package" in text
    assert "mynets/model.py" in text


def test_several_packages_and_several_recipes(site):
    site.install("mynets", one=RECIPE.replace("NAME", "one"))
    other = RECIPE.replace("a_layer", "b_layer")
    site.install("yours", **{name: other.replace("NAME", name) for name in ("two", "three")})
    code, text = site.run("inspect", str(site.file))
    assert code == 0, text
    code, text = site.run("recipes")
    assert {"one", "two", "three"} <= {line.partition(":")[0] for line in text.splitlines()}


def test_two_recipes_of_one_name_are_an_error(site):
    site.install("mynets", vgg=RECIPE.replace("NAME", "vgg"))
    code, text = site.run("inspect", str(site.file))
    assert code == 2
    assert "vgg" in text
    assert "mynets" in text


@pytest.mark.parametrize("entry", ["x = nowhere.recipes", "x = mynets.nothing"])
def test_an_entry_point_without_recipes_is_named(site, entry):
    site.install("mynets", entry, mynet=RECIPE.replace("NAME", "mynet"))
    code, text = site.run("recipes")
    assert code == 2
    assert entry.partition(" = ")[2] in text
    assert "Traceback" not in text


def test_a_package_without_recipes_is_named(site):
    site.install("mynets")
    code, text = site.run("recipes")
    assert code == 2
    assert "mynets.recipes" in text
    assert "no .toml file in that" in text


def test_errors_in_a_recipe_of_a_package_name_its_file(site):
    site.install("mynets", mynet=RECIPE.replace("fuse", "fuze"))
    code, text = site.run("recipes")
    assert code == 2
    assert "mynet.toml" in text
    assert "fuze" in text
