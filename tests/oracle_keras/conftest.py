"""Oracle tests run the originals and the fused files in Keras 3 and in tf_keras, which is Keras 2.

The project itself never imports either; where they are not installed, nothing here is collected.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

HAVE_ORACLES = all(find_spec(name) for name in ("tensorflow", "keras", "tf_keras"))
collect_ignore_glob = [] if HAVE_ORACLES else ["*.py"]
HERE = Path(__file__).parent

# read when TensorFlow and Keras are imported
os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
os.environ |= {"KERAS_BACKEND": "tensorflow"}

FRAMEWORK_WARNINGS = [
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning",
    "ignore:You are saving your model as an HDF5 file:UserWarning",
]
"""What the frameworks warn about whatever they are used for."""


def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in item.path.parents:
            for warning in FRAMEWORK_WARNINGS:
                item.add_marker(pytest.mark.filterwarnings(warning))


@pytest.fixture(params=["keras", "tf_keras"])
def k(request):
    """Keras 3, then Keras 2, with fresh automatic names and a fixed seed."""
    from oracle_keras import frameworks  # noqa: PLC0415  only where they are

    return frameworks.fresh(request.param)


@pytest.fixture
def run(capsys):
    """Run the command; gives the exit code and what it printed on both streams."""
    from reparam.cli import main  # noqa: PLC0415

    def run(*words):
        try:
            code = main([str(w) for w in words])
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return run
