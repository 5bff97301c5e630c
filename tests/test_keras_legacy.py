"""Lists of names in HDF5, and Keras' order of layers, where no whole model shows them."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from keras_maker import Net
from test_keras_config import conv, graph, parsed

import reparam
from reparam.checkpoint import Form, Rewrite
from reparam.errors import CheckpointError
from reparam_adapters.hdf5_tree import open_tree
from reparam_adapters.keras import open_reader, open_writer
from reparam_adapters.keras_legacy import TOP, name_legacy, read_legacy
from reparam_adapters.keras_order import frozen_layers, layer_ranks, sort_all


@pytest.fixture
def path(tmp_path):
    return tmp_path / "x.h5"


def write(path, layers, listed=None):
    """One Dense layer per name, each with a kernel."""
    with h5py.File(path, "w") as file:
        for name in layers:
            group = file.create_group(name)
            group.attrs["weight_names"] = [f"{name}/kernel:0".encode()]
            group[f"{name}/kernel:0"] = np.ones((2, 2), "f4")
        names = [name.encode() for name in (layers if listed is None else listed)]
        file.attrs["layer_names"] = names or np.zeros(0)


def read(path, model=None):
    with open_tree(path, "x.h5") as tree:
        store = read_legacy(tree.root, "x.h5")
        return store, name_legacy(store, model)


def test_a_layer_listed_twice(path):
    write(path, ["a"], ["a", "a"])
    with pytest.raises(CheckpointError, match="lists 'a' twice"):
        read(path)


def test_a_dataset_is_no_layer(path):
    write(path, ["a"], ["a", "b"])
    with h5py.File(path, "r+") as file:
        file["b"] = np.ones(3)
    with pytest.raises(CheckpointError, match="lists 'b', but there is no such group"):
        read(path)


def test_weights_of_the_model_itself_are_kept(path):
    write(path, ["a", TOP], ["a"])
    store, named = read(
        path, parsed({"class_name": "Sequential", "config": [conv("a", bias=False)]})
    )
    assert [*store.layers] == ["a", TOP]
    assert named.keys() == {"a.weight", f"{TOP}.{TOP}.kernel"}


def test_weights_in_another_order_than_the_layers(path):
    """Keras loads them by their order, whatever they are called."""
    write(path, ["b", "a"])
    layers = [conv("a", bias=False), conv("b", bias=False)]
    with pytest.raises(CheckpointError, match="the weights of 'b' do not lie where"):
        read(path, parsed({"class_name": "Sequential", "config": layers}))


def upside_down():
    """A model whose layers are listed from the output to the input."""
    config = graph()
    config["config"]["layers"].reverse()
    return config


def test_nested_models_are_sorted_too():
    inner = upside_down() | {"name": "inner", "inbound_nodes": [[["x", 0, 0, {}]]]}
    outer = graph(output_layers=[["inner", 1, 0]])
    outer["config"]["layers"] = [inner, *outer["config"]["layers"][:1]]
    model = parsed(outer)
    sort_all(model)
    assert [*layer_ranks(model)] == ["x", "inner", "inner.x", "inner.a"]


def test_layers_are_trained_unless_they_say_otherwise():
    layers = [conv("a"), conv("b", trainable=True), conv("c", trainable=False)]
    assert frozen_layers(parsed({"class_name": "Sequential", "config": layers})) == {"c"}
    assert frozen_layers(None) == set()


def test_what_is_read_is_the_readers_own_no_longer(tmp_path):
    net, path = Net(), tmp_path / "x.keras"
    net.save_keras(path, [net("Dense", net.input(4), units=3)])
    with open_reader(path) as reader:
        first = reader.read("dense_1.weight")
        kept = first.copy()
        first += 1
        assert np.array_equal(reader.read("dense_1.weight"), kept)
        assert np.array_equal(reader.read("dense_1.weight", (1, 3)), kept[1:3])


@pytest.mark.parametrize("kind", ["h5", "keras"])
def test_rows_may_come_in_any_order_and_from_one_buffer(kind, tmp_path):
    """Rows of a kernel lie scattered in the file, so they are kept until all are there."""
    net, path, out = Net(), tmp_path / f"x.{kind}", tmp_path / f"out.{kind}"
    x = net("Conv2D", net.input(4, 4, 3), filters=4, kernel_size=3)
    getattr(net, f"save_{kind}")(path, [net("Dense", net("BatchNormalization", x), units=2)])
    plan = reparam.plan(path)
    kernel = np.arange(4 * 3 * 3 * 3, dtype="f4").reshape(4, 3, 3, 3)
    with open_reader(path) as reader:
        change = Rewrite(reader, plan.made, Form())
        with open_writer(out, plan.outputs, {}, rewrite=change) as writer:
            buffer = np.empty((2, 3, 3, 3), "f4")
            for start in (2, 0):
                buffer[:] = kernel[start : start + 2]
                writer.write("conv2d_1.weight", buffer, start)
            writer.write("conv2d_1.bias", np.ones(4, "f4"))
            for name in plan.copies:
                writer.write_chunks(name, reader.chunks(name))
            writer.commit()
    with open_reader(out) as reader:
        assert np.array_equal(reader.read("conv2d_1.weight"), kernel)
