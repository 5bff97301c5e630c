"""Keras files that nobody vouches for: refused in one message, and nothing is left behind."""

from __future__ import annotations

import copy
import io
import itertools
import json
import re
import struct
import tempfile
import warnings
import zipfile
from contextlib import suppress
from pathlib import Path

import h5py
import keras_forward as forward
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras_maker import Net

import reparam
from reparam_adapters.keras import open_reader

KINDS = [".h5", ".keras"]
ODD = [None, 0, -1, 1e308, True, "x", "", [], {}, [[]], [{}], [0], ["x"], {"x": 0}]


def branch(net, x, kernel, **config):
    y = net("Conv2D", x, filters=4, kernel_size=kernel, **config)
    return net("BatchNormalization", y)


def blocks(net):
    x = net.input(4, 4, 4)
    y = net("ReLU", net("Add", branch(net, x, 3, strides=2), branch(net, x, 1, strides=2)))
    inner = Net(seed=5)
    return [net.model(inner, [branch(inner, inner.input(2, 2, 4), 1)], y)]


def pair(net):
    return [branch(net, net.input(4, 4, 4), 3)]


def made(kind, folder, build=pair):
    net, path = Net(), folder / f"model{kind}"
    (net.save_h5 if kind == ".h5" else net.save_keras)(path, build(net))
    return path


def replace_config(path, text):
    """Give a file another config, as a JSON value or as it stands."""
    raw = text if isinstance(text, bytes) else json.dumps(text).encode()
    if path.suffix == ".h5":
        with h5py.File(path, "r+") as file:
            file.attrs["model_config"] = np.bytes_(raw) if raw else h5py.Empty("S1")
        return
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["config.json"] = raw
    with zipfile.ZipFile(path, "w") as archive:
        for name, value in members.items():
            archive.writestr(name, value)


def fused(path, **options):
    """Whether a file was fused; if not, it was refused. The folder is as it was, in any case."""
    folder = path.parent
    before = {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}
    out = folder / f"out{path.suffix}"
    try:
        reparam.fuse(path, out, **options)
    except reparam.ReparamError:
        done = False
    else:
        done = True
        assert out.exists()
        out.unlink()
    assert {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()} == before
    return done


def refused(path, match, **options):
    with pytest.raises(reparam.ReparamError, match=match):
        reparam.plan(path, **options)
    assert not fused(path, **options)


# --- configs ----------------------------------------------------------------------------------


def places(value, above=()):
    """Every place in a JSON value."""
    yield above
    if isinstance(value, (dict, list)):
        for key, child in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(child, (*above, key))


def at(value, place):
    for key in place:
        value = value[key]
    return value


def changed(value, place, new):
    if not place:
        return new
    whole = copy.deepcopy(value)
    at(whole, place[:-1])[place[-1]] = new
    return whole


def without(value, place):
    whole = copy.deepcopy(value)
    del at(whole, place[:-1])[place[-1]]
    return whole


@pytest.mark.parametrize("kind", KINDS)
def test_the_file_itself_is_fused(kind, tmp_path):
    assert fused(made(kind, tmp_path))
    assert fused(made(kind, tmp_path, blocks))


@pytest.mark.parametrize("kind", KINDS)
def test_every_value_of_another_type(kind, tmp_path):
    path = made(kind, tmp_path)
    config = forward.read_config(path)
    results = set()
    odd = itertools.cycle([None, 0, "x", [], {}])
    for place in places(config):
        for _ in range(5 if kind == ".h5" else 2):  # a zip takes longer to write
            replace_config(path, changed(config, place, next(odd)))
            results.add(fused(path))
    assert results == {True, False}


@pytest.mark.parametrize("kind", KINDS)
def test_every_value_left_out(kind, tmp_path):
    path = made(kind, tmp_path)
    config = forward.read_config(path)
    for place in list(places(config))[1:]:
        replace_config(path, without(config, place))
        fused(path)


@pytest.mark.parametrize("kind", KINDS)
def test_odd_values_in_a_larger_graph(kind, tmp_path):
    path, odd = made(kind, tmp_path, blocks), itertools.cycle(ODD)
    config = forward.read_config(path)
    path.unlink()
    beside, weights = tmp_path / "config.json", tmp_path / "some.weights.h5"
    with h5py.File(weights, "w") as file:
        file["layers/conv2d/vars/0"] = np.zeros(1)
    for place in places(config):
        beside.write_text(json.dumps(changed(config, place, next(odd))), "utf-8")
        with pytest.raises(reparam.ReparamError):  # none of them belongs to these weights
            reparam.plan(weights, config=beside)


@pytest.mark.parametrize("kind", KINDS)
@given(st.data())
@settings(max_examples=60, deadline=None)
def test_damaged_text(kind, data):
    with tempfile.TemporaryDirectory() as folder:
        path = made(kind, Path(folder))
        raw = bytearray(json.dumps(forward.read_config(path)).encode())
        for _ in range(data.draw(st.integers(1, 3))):
            place = data.draw(st.integers(0, len(raw) - 1))
            raw[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
        replace_config(path, bytes(raw).replace(b"\0", b" ") if kind == ".h5" else bytes(raw))
        fused(path)


NO_MODELS = {
    "nothing": b"",
    "text": b"model",
    "half": b'{"class_name": "Functional", "config": {"layers": [',
    "a number": b"1",
    "null": b"null",
    "a list": b"[]",
    "an object": b"{}",
    "NaN": b"NaN",
    "deep lists": b"[" * 50_000,
    "deep objects": b'{"a":' * 10_000,
    "half a character": b'{"class_name": "\\ud800"}',
    "no UTF-8": b'{"class_name": "\xff"}',
    "a long number": b'{"class_name": ' + b"9" * 10_000 + b"}",
    "no layers": b'{"class_name": "Functional", "config": {"layers": []}}',
    "an empty chain": b'{"class_name": "Sequential", "config": []}',
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", NO_MODELS.values(), ids=NO_MODELS)
def test_texts_that_are_no_model(kind, text, tmp_path):
    path = made(kind, tmp_path)
    replace_config(path, text)
    assert not fused(path)


def layer_of(config, kind):
    return next(x for x in forward.layers_of(config) if x["class_name"] == kind)


def rewire(config, taker, name, node=0, tensor=0):
    """Let a layer take another tensor, in either dialect."""
    (call,) = layer_of(config, taker)["inbound_nodes"]
    if isinstance(call, list):
        call[0][:3] = name, node, tensor
    else:
        call["args"][0]["config"]["keras_history"] = [name, node, tensor]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("taker", "taken"),
    [
        ("Conv2D", ("batch_normalization_2", 0)),
        ("Conv2D", ("conv2d_1", 0)),
        ("BatchNormalization", ("batch_normalization_2", 0)),
        ("BatchNormalization", ("nobody", 0)),
        ("BatchNormalization", ("conv2d_1", 1)),
        ("BatchNormalization", ("conv2d_1", -1)),
        ("BatchNormalization", ("conv2d_1", 10**30)),
        ("BatchNormalization", ("conv2d_1", 0, 1)),
        ("BatchNormalization", ("", 0)),
        ("Conv2D", ("nobody", 0)),
        ("Conv2D", ("input_0", 7)),
    ],
    ids=str,
)
def test_references_to_what_is_not_there(kind, taker, taken, tmp_path):
    """A ring, a layer that nobody knows, a call that never was."""
    path = made(kind, tmp_path)
    config = forward.read_config(path)
    rewire(config, taker, *taken)
    replace_config(path, config)
    assert not fused(path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "end",
    [
        ["nobody", 0, 0],
        ["conv2d_1", 0],
        ["batch_normalization_2", 0, 1],
        ["batch_normalization_2", 1, 0],
        ["batch_normalization_2", -1, 0],
    ],
    ids=str,
)
def test_outputs_that_are_not_there(kind, end, tmp_path):
    path = made(kind, tmp_path)
    config = forward.read_config(path)
    config["config"]["output_layers"] = [end]
    replace_config(path, config)
    assert not fused(path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("silent", ["Dropout", "Activation"])
def test_a_ring_of_layers_that_do_nothing(kind, silent, tmp_path):
    def build(net):
        x = net.input(4, 4, 4)
        linear = {"activation": "linear"} if silent == "Activation" else {}
        y = net(silent, net("Conv2D", x, filters=4, kernel_size=3), name="first", **linear)
        return [net("BatchNormalization", net(silent, y, name="second", **linear))]

    path = made(kind, tmp_path, build)
    config = forward.read_config(path)
    rewire(config, silent, "second")
    replace_config(path, config)
    assert not fused(path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("depth", [60, 70, 200])
def test_models_nested_deeply(kind, depth, tmp_path):
    path = made(kind, tmp_path)
    config = forward.read_config(path)
    around = {"layers": ["HERE"], "input_layers": [], "output_layers": [["m", 0, 0]]}
    before, after = json.dumps(around).split('"HERE"')
    text = json.dumps(config)
    for _ in range(depth):
        text = f'{{"class_name": "Functional", "name": "m", "config": {before}{text}{after}}}'
    replace_config(path, text.encode())
    assert not fused(path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("layer", "key", "value"),
    [
        *(("BatchNormalization", "epsilon", e) for e in (-1, "x", None, [], True, 1e301, "NaN")),
        *(("BatchNormalization", "axis", a) for a in (0, 1, 2, 4, -2, -5, [], [3, 3], "x", None)),
        *(("BatchNormalization", "center", c) for c in (False, 0, [])),
        *(("BatchNormalization", "scale", c) for c in (False, 0)),
        *(("Conv2D", "groups", g) for g in (0, -1, 3, 8, 10**30, "x", None, 1.5, [])),
        ("Conv2D", "data_format", "channels_first"),
        *(("Conv2D", "use_bias", b) for b in (True, 1, "x")),
        *(("Conv2D", "activation", a) for a in ("relu", "x", 1, {"class_name": "relu"})),
        ("Conv2D", "activation", {}),
    ],
    ids=str,
)
def test_settings_that_make_no_sense(kind, layer, key, value, tmp_path):
    path = made(kind, tmp_path)
    config = forward.read_config(path)
    layer_of(config, layer)["config"][key] = float("nan") if value == "NaN" else value
    replace_config(path, config)
    assert not fused(path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("strides", s) for s in (0, [0, 0], [2], [-1, -1], "x", [1.5, 2], [10**30] * 2, {})),
        *(("dilation_rate", d) for d in (0, [0, 0], [1], "x", [-1, 1])),
        *(("kernel_size", k) for k in (0, [3], [0, 0], [-3, 3], "x", [10**30] * 2)),
        *(("kernel_size", k) for k in (None, [5, 5], [9, 9])),
        *(("padding", p) for p in ("x", None, 1, [])),
        *(("groups", g) for g in (0, -1, 3, "x", 1.5, [], {})),
        *(("filters", f) for f in (0, -1, "x", 10**30, [])),
        ("data_format", "channels_first"),
    ],
    ids=str,
)
def test_branches_whose_settings_make_no_sense(kind, key, value, tmp_path):
    """Whatever becomes of the pairs, a sum with such a branch is left alone."""
    path = made(kind, tmp_path, blocks)
    config = forward.read_config(path)
    conv = layer_of(config, "Conv2D")
    assert conv["config"]["kernel_size"] == [3, 3]
    conv["config"][key] = value
    replace_config(path, config)
    fused(path)
    with suppress(reparam.ReparamError):
        assert not any("+" in fusion.expression for fusion in reparam.plan(path).fusions)


# --- weights ----------------------------------------------------------------------------------


def edit_weights(path, change):
    """Let a function change the group that holds the weights."""
    if path.suffix == ".h5":
        with h5py.File(path, "r+") as file:
            change(file["model_weights"])
        return
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    stored = io.BytesIO(members["model.weights.h5"])
    with h5py.File(stored, "r+") as file:
        change(file["layers"])
    with zipfile.ZipFile(path, "w") as archive:
        for name, value in (members | {"model.weights.h5": stored.getvalue()}).items():
            archive.writestr(name, value)


def kernel_of(group):
    found = []
    group.visititems(lambda name, item: found.append(name) if item_rank(item) == 4 else None)
    return found[0]


def item_rank(item):
    return item.ndim if isinstance(item, h5py.Dataset) else 0


def no_kernel(group):
    del group[kernel_of(group)]


def no_conv(group):
    del group[kernel_of(group).partition("/")[0]]


def no_groups(group):
    for name in list(group):
        del group[name]


def reshaped(shape, dtype="f4"):
    def change(group):
        name = kernel_of(group)
        del group[name]
        group[name] = np.ones(shape, dtype)

    return change


def one_norm_is_short(group):
    found = []
    group.visititems(lambda name, item: found.append(name) if item_rank(item) == 1 else None)
    del group[found[-1]]
    group[found[-1]] = np.ones(3, "f4")


def a_layer_too_many(group):
    if "layer_names" not in group.attrs:
        group["conv2d_1/vars/0"] = np.ones((3, 3, 4, 4), "f4")
        return
    group.attrs["layer_names"] = [*group.attrs["layer_names"], b"more"]
    group["more/more/kernel:0"] = np.ones((3, 3, 4, 4), "f4")
    group["more"].attrs["weight_names"] = [b"more/kernel:0"]


def a_kernel_elsewhere(group):
    name = kernel_of(group)
    del group[name]
    group[name] = h5py.ExternalLink("/etc/passwd", "/x")


def text_for_a_kernel(group):
    name = kernel_of(group)
    del group[name]
    group[name] = "kernel"


FIVE_AXES = reshaped((1, 3, 3, 4, 4))
WEIGHTS = {
    "no kernel": no_kernel,
    "no layer": no_conv,
    "nothing": no_groups,
    "a vector": reshaped(4),
    "a number": reshaped(()),
    "other outputs": reshaped((3, 3, 4, 5)),
    "no outputs": reshaped((3, 3, 4, 0)),
    "five axes": FIVE_AXES,
    "integers": reshaped((3, 3, 4, 4), "i4"),
    "a short norm": one_norm_is_short,
    "a layer too many": a_layer_too_many,
    "a link": a_kernel_elsewhere,
    "a text": text_for_a_kernel,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", WEIGHTS.values(), ids=WEIGHTS)
def test_weights_that_do_not_belong_to_the_config(kind, change, tmp_path):
    path = made(kind, tmp_path)
    edit_weights(path, change)
    assert not fused(path)


@pytest.mark.parametrize("values", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", KINDS)
def test_values_that_are_no_numbers(kind, values, tmp_path):
    def change(group):
        group[kernel_of(group)][0, 0, 0, 0] = values

    path = made(kind, tmp_path)
    edit_weights(path, change)
    assert not fused(path)


NAMES = {
    "twice": [b"conv2d_1", b"conv2d_1"],
    "above": [b"../conv2d_1"],
    "rooted": [b"/model_weights/conv2d_1"],
    "itself": [b"."],
    "empty": [b""],
    "unknown": [b"nobody"],
    "numbers": [1, 2],
    "a text": b"conv2d_1",
    "nothing": h5py.Empty("S1"),
}


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("key", ["layer_names", "weight_names"])
def test_lists_of_names(key, names, tmp_path):
    path = made(".h5", tmp_path)
    with h5py.File(path, "r+") as file:
        box = file["model_weights"]
        (box if key == "layer_names" else box["conv2d_1"]).attrs[key] = names
    assert not fused(path)


@pytest.mark.parametrize("key", ["layer_names", "weight_names"])
def test_no_lists_of_names(key, tmp_path):
    path = made(".h5", tmp_path)
    with h5py.File(path, "r+") as file:
        box = file["model_weights"]
        del (box if key == "layer_names" else box["conv2d_1"]).attrs[key]
    assert not fused(path)


@pytest.mark.parametrize("kind", KINDS)
def test_two_layers_of_one_name(kind, tmp_path):
    path = made(kind, tmp_path)
    config = forward.read_config(path)
    norm = layer_of(config, "BatchNormalization")
    norm["name"] = norm["config"]["name"] = layer_of(config, "Conv2D")["name"]
    replace_config(path, config)
    refused(path, "two layers are called")


# --- files ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_truncated_files(kind, tmp_path):
    path = made(kind, tmp_path)
    raw = path.read_bytes()
    for size in [*range(0, 64, 7), *np.linspace(64, len(raw) - 1, 40, dtype=int)]:
        path.write_bytes(raw[:size])
        assert not fused(path)


@pytest.mark.parametrize("kind", KINDS)
@given(
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1),
)
@settings(max_examples=100, deadline=None)
def test_damaged_files(kind, changes):
    with tempfile.TemporaryDirectory() as folder:
        path = made(kind, Path(folder))
        raw = bytearray(path.read_bytes())
        for place, value in changes:
            raw[int(place * len(raw))] = value
        path.write_bytes(raw)
        fused(path)


SHARDS = {
    "no JSON": b"{",
    "a list": b"[]",
    "no map": b"{}",
    "a map of nothing": b'{"weight_map": {}}',
    "a list for a map": b'{"weight_map": []}',
    "above": b'{"weight_map": {"/layers": "../x.weights.h5"}}',
    "rooted": b'{"weight_map": {"/layers": "/etc/passwd"}}',
    "the folder": b'{"weight_map": {"/layers": "."}}',
    "the folder above": b'{"weight_map": {"/layers": [".."]}}',
    "no name": b'{"weight_map": {"/layers": ""}}',
    "a number": b'{"weight_map": {"/layers": 1}}',
    "a NUL": b'{"weight_map": {"/layers": "x\\u0000.weights.h5"}}',
    "half a character": b'{"weight_map": {"/layers": "\\ud800.weights.h5"}}',
    "too long": b'{"weight_map": {"/layers": "' + b"x" * 5000 + b'"}}',
    "itself": b'{"weight_map": {"/layers": "m.weights.json"}}',
    "deep": b'{"weight_map": ' + b"[" * 100_000,
}


@pytest.mark.parametrize("text", SHARDS.values(), ids=SHARDS)
def test_indices_of_shards(text, tmp_path):
    path = tmp_path / "m.weights.json"
    path.write_bytes(text)
    with pytest.raises((reparam.ReparamError, OSError)):
        open_reader(path)
    assert not fused(path)


def test_a_missing_shard(tmp_path):
    path = tmp_path / "m.weights.json"
    path.write_text('{"weight_map": {"/layers": "m_00000.weights.h5"}}', "utf-8")
    with pytest.raises((reparam.ReparamError, OSError), match="m_00000"):
        reparam.plan(path)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_truncated_shards(tmp_path):
    path, shard = tmp_path / "m.weights.json", tmp_path / "m_00000.weights.h5"
    path.write_text('{"weight_map": {"/layers": "m_00000.weights.h5"}}', "utf-8")
    with h5py.File(shard, "w") as file:
        file["layers/conv2d/vars/0"] = np.ones((3, 3, 4, 4), "f4")
    raw = shard.read_bytes()
    for size in range(0, len(raw), 97):
        shard.write_bytes(raw[:size])
        assert not fused(path)


@pytest.mark.parametrize("member", ["config.json", "model.weights.h5"])
def test_a_zip_that_unpacks_to_far_more(member, tmp_path):
    path = made(".keras", tmp_path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members[member] = members[member][:1000] + bytes(2**24)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in members.items():
            archive.writestr(name, value)
    raw = path.read_bytes()
    assert len(raw) < 2**17
    assert not fused(path)
    declared = struct.pack("<I", len(members[member]))
    assert raw.count(declared) == 2
    path.write_bytes(raw.replace(declared, struct.pack("<I", 2**31)))
    refused(path, "2147483648 bytes")


@pytest.mark.parametrize("missing", ["config.json", "model.weights.h5"])
def test_a_zip_without_a_member(missing, tmp_path):
    path = made(".keras", tmp_path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, value in members.items():
            if name != missing:
                archive.writestr(name, value)
    refused(path, missing)


@pytest.mark.parametrize("name", ["/etc/x", "../x", "a/../../x", "config.json"])
def test_a_zip_with_an_odd_member(name, tmp_path):
    path = made(".keras", tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the same name twice
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(name, b"")
    refused(path, "twice in the archive, or outside of it")


def test_hdf5_that_is_no_keras_file(tmp_path):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w"):
        pass
    refused(path, "no Keras checkpoint")
    with h5py.File(path, "w") as file:
        file["entry/data"] = np.ones(3)
    refused(path, "no Keras checkpoint.*entry")


@pytest.mark.parametrize("kind", ["model", "weights"])
@pytest.mark.parametrize(
    ("version", "backend", "match"),
    [
        ("1.2.2", "tensorflow", "a Keras 1 file"),
        (None, "tensorflow", "a Keras 1 file"),
        ("2.2.4", "theano", "Theano"),
    ],
)
def test_files_of_old(kind, version, backend, match, tmp_path):
    path = made(".h5", tmp_path)
    with h5py.File(path, "r+") as file:
        if kind == "weights":
            for name in file["model_weights"]:
                file.copy(file["model_weights"][name], file, name)
            file.attrs["layer_names"] = file["model_weights"].attrs["layer_names"]
            del file["model_weights"], file.attrs["model_config"]
        for group in [file, *([file["model_weights"]] if kind == "model" else [])]:
            group.attrs["backend"] = backend
            del group.attrs["keras_version"]
            if version:
                group.attrs["keras_version"] = version
    refused(path, match)


def test_weights_of_keras_1(tmp_path):
    path = tmp_path / "vgg16_weights.h5"
    with h5py.File(path, "w") as file:
        file.attrs["nb_layers"] = 1
        file["layer_0/param_0"] = np.ones((4, 4, 3, 3), "f4")
    refused(path, "a Keras 1 file")


@pytest.mark.parametrize("name", ["x.h5", "x.keras", "x.weights.json"])
def test_files_that_are_not_there(name, tmp_path):
    with pytest.raises((reparam.ReparamError, FileNotFoundError), match=re.escape(name)):
        reparam.fuse(tmp_path / name, tmp_path / "out")
    assert not list(tmp_path.iterdir())
