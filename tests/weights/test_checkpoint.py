"""Weights on disk: what is found, what is refused, and what the messages say."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import resource
import shutil

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from glc import Codec
from glc.coding import tables
from glc.config import PRESETS, CodecConfig
from glc.errors import WeightsError
from glc.weights import checkpoint, manifest, registry
from tests.conftest import TWO_DECODERS

DIGEST = "sha256"


@pytest.fixture
def folder(micro_path, tmp_path, monkeypatch):
    """A folder with the micro model alone, and the only one that is searched."""
    target = tmp_path / "models"
    target.mkdir()
    shutil.copy(micro_path, target)
    monkeypatch.setattr(registry, "model_folders", lambda: [target])
    return target


def test_identity_is_the_digest_of_the_file(micro_path):
    data = micro_path.read_bytes()
    loaded = checkpoint.load(micro_path)
    assert loaded.identity == manifest.identity_of(data) == hashlib.sha256(data).digest()


def test_saving_gives_back_config_tensors_and_bytes(micro_path, micro_config, tmp_path):
    loaded = checkpoint.load(micro_path)
    assert (loaded.config, loaded.name) == (micro_config, "micro")
    path = tmp_path / "new" / "copy.safetensors"
    fields = (loaded.config, loaded.name, loaded.summary)
    assert checkpoint.save(path, *fields, loaded.tensors) == loaded.identity
    assert path.read_bytes() == micro_path.read_bytes()
    assert [p.name for p in path.parent.iterdir()] == ["copy.safetensors"]


def test_a_loaded_model_exports_the_same_weights(micro, micro_path):
    from glc.runtime.torch import model_tensors

    tensors = model_tensors(
        micro.networks.model, micro.coder.tables.scales, micro.coder.tables.indices
    )
    stored = checkpoint.load(micro_path).tensors
    assert tensors.keys() == stored.keys()
    for name, array in tensors.items():
        assert array.dtype == stored[name].dtype, name
        assert np.array_equal(array, stored[name]), name


def test_configurations_survive_json():
    for config in PRESETS.values():
        assert CodecConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("y_channels", 10),
        ("y_channels", 1.5),
        ("y_channels", -4),
        ("y_channels", "16"),
        ("hyper_levels", []),
        ("hyper_levels", [1, 4]),
        ("hyper_levels", [1 << 16, 4]),
        ("quality_anchors", 1),
        ("quality_anchors", 4),
        ("decoder_width_8", True),
        ("decoder_width_8", 0),
        ("encoder_depth_16", 65),
        ("hyper_levels", [2] * 17),
        ("future", 1),
        ("architecture", 0),
        ("architecture", 4),
        ("realistic_width_8", 16),
        ("realistic_depth_4", 1),
    ],
)
def test_contradictions_are_refused(field, value):
    with pytest.raises(ValueError, match=field):
        CodecConfig.from_dict({field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("realistic_width_4", 0),
        ("realistic_width_16", 1),
        ("realistic_width_8", -1),
        ("realistic_depth_8", 65),
        ("latent_channels", 12),
        ("architecture", 2),
        ("architecture", 1),
    ],
)
def test_a_second_decoder_needs_its_sizes(field, value):
    fields = TWO_DECODERS.to_dict()
    assert CodecConfig.from_dict(fields) == TWO_DECODERS
    wrong = "realistic_width_4" if field == "architecture" else field
    with pytest.raises(ValueError, match=wrong):
        CodecConfig.from_dict(fields | {field: value})
    deepless = {name: 0 for name in fields if name.startswith("realistic_depth")}
    CodecConfig.from_dict(fields | deepless)


def test_headers_of_one_decoder_are_what_they_were_before_there_were_two(micro_path):
    """Else the identity of a model, and with it the bytes of its files, would change."""
    for config in (*PRESETS.values(), checkpoint.load(micro_path).config):
        assert not [name for name in config.to_dict() if name.startswith("realistic")]
        assert CodecConfig.from_dict(config.to_dict()) == config


def break_missing(tensors):
    del tensors["decoder.render.bias"]


def break_missing_integers(tensors):
    del tensors["scale_map.weight"]


def break_missing_table(tensors):
    del tensors["tables.scale.half_widths"]


def break_extra(tensors):
    tensors["decoder.surplus"] = np.zeros(3, np.float16)


def break_shape(tensors):
    tensors["decoder.render.bias"] = np.zeros(7, np.float16)


def break_nan(tensors):
    tensors["decoder.render.bias"] = np.full_like(tensors["decoder.render.bias"], np.nan)


def break_infinity(tensors):
    tensors["analysis.head.weight"] = np.full_like(tensors["analysis.head.weight"], np.inf)


def break_float_scale_map(tensors):
    tensors["scale_map.weight"] = tensors["scale_map.weight"].astype(np.float16)


def break_integer_weights(tensors):
    tensors["decoder.render.bias"] = tensors["decoder.render.bias"].astype(np.int32)


def break_large_integers(tensors):
    weight = tensors["scale_map.weight"].astype(np.int32)
    weight[0, 0] = 128
    tensors["scale_map.weight"] = weight


def break_table_sum(tensors):
    tensors["tables.scale.frequencies"] = tensors["tables.scale.frequencies"] + 1


def break_index_banks(tensors):
    name = "tables.index.frequencies"
    tensors[name] = tensors[name][:2].copy()


DEFECTS = {
    "missing": (break_missing, "decoder.render.bias"),
    "missing integers": (break_missing_integers, "scale_map.weight"),
    "missing table": (break_missing_table, "half_widths"),
    "extra": (break_extra, "decoder.surplus"),
    "shape": (break_shape, "decoder.render.bias"),
    "nan": (break_nan, "decoder.render.bias"),
    "infinity": (break_infinity, "analysis.head.weight"),
    "float scale map": (break_float_scale_map, "scale_map.weight"),
    "large integers": (break_large_integers, "scale_map.weight"),
    "integer weights": (break_integer_weights, "decoder.render.bias"),
    "table sum": (break_table_sum, "scale tables"),
    "index banks": (break_index_banks, "tables.index"),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_malformed_tensors_are_refused_by_name(micro_path, tmp_path, defect):
    spoil, name = DEFECTS[defect]
    loaded = checkpoint.load(micro_path)
    tensors = dict(loaded.tensors)
    spoil(tensors)
    path = tmp_path / "bad.safetensors"
    checkpoint.save(path, loaded.config, "bad", "", tensors)
    with pytest.raises(WeightsError, match=name):
        Codec.from_pretrained(path, device="cpu")


def test_tensors_of_another_configuration_are_refused(micro_path):
    loaded = checkpoint.load(micro_path)
    config = dataclasses.replace(loaded.config, context_depth=2)
    with pytest.raises(WeightsError, match=r"context\.body\.1"):
        Codec(dataclasses.replace(loaded, config=config), device="cpu")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("decoder_width_4", 1 << 16),
        ("decoder_depth_16", 64),
        ("refine_channels", 1 << 16),
        ("realistic_width_16", 1 << 16),
        ("realistic_depth_8", 64),
    ],
)
def test_a_configuration_cannot_make_a_reader_allocate(micro_path, two_decoders_path, field, value):
    loaded = checkpoint.load(two_decoders_path if "realistic" in field else micro_path)
    config = dataclasses.replace(loaded.config, **{field: value})
    before = resident_bytes()
    with pytest.raises(WeightsError, match=r"expected .*found"):
        Codec(dataclasses.replace(loaded, config=config), device="cpu")
    assert resident_bytes() - before < 64 << 20


def test_rows_of_tables_are_counted_before_they_are_built(micro_path, monkeypatch):
    loaded = checkpoint.load(micro_path)
    rows = np.full((1 << 20, 1), 1 << 16, np.int32)
    tensors = loaded.tensors | {"tables.index.frequencies": rows}
    monkeypatch.setattr(tables.IndexTables, "from_arrays", lambda arrays: pytest.fail("built"))
    with pytest.raises(WeightsError, match=r"tables\.index"):
        Codec(dataclasses.replace(loaded, tensors=tensors), device="cpu")


def test_a_changed_bit_is_another_model(micro, micro_path, make_picture, tmp_path):
    """Without a manifest the identity is the guard: files of the real model are refused."""
    data = bytearray(micro_path.read_bytes())
    data[-3] ^= 1
    path = tmp_path / "changed.safetensors"
    path.write_bytes(data)
    changed = Codec.from_pretrained(path, device="cpu")
    with pytest.raises(WeightsError, match="was made with model"):
        changed.decode(micro.encode(make_picture(20, 20)))


def resident_bytes() -> int:
    """The most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def header(value: object) -> bytes:
    text = json.dumps(value).encode()
    return len(text).to_bytes(8, "little") + text


def entry(**fields: object) -> dict[str, object]:
    meta = {"layout": 1, "name": "n", "summary": "", "parameters": 1, "config": {}} | fields
    return {"__metadata__": {"glc": json.dumps(meta)}}


BAD_FILES = {
    "empty": b"",
    "short": b"1234567",
    "text": b"this is not a file of weights",
    "pickle": b"\x80\x04\x95" + bytes(40),
    "giant header": (1 << 60).to_bytes(8, "little") + b"{}",
    "not json": (5).to_bytes(8, "little") + b"{{{{{",
    "deep json": (200_000).to_bytes(8, "little") + b"[" * 200_000,
    "a list": header([]),
    "no metadata": header({}),
    "foreign metadata": header({"__metadata__": {"format": "pt"}}),
    "metadata not json": header({"__metadata__": {"glc": "{"}}),
    "metadata a list": header({"__metadata__": {"glc": "[]"}}),
    "later layout": header(entry(layout=2)),
    "parameters a word": header(entry(parameters="many")),
    "name a list": header(entry(name=["n"])),
    "summary a number": header(entry(summary=1)),
    "config a list": header(entry(config=[1])),
    "config a number": header(entry(config=3)),
    "config unknown": header(entry(config={"depth_of_time": 3})),
    "config contradicts": header(entry(config={"y_channels": 5})),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_files_that_are_no_weights(tmp_path, monkeypatch, kind):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(BAD_FILES[kind])
    with pytest.raises(WeightsError, match="bad"):
        checkpoint.load(path)
    # And such a file does not hide the others.
    monkeypatch.setattr(registry, "model_folders", lambda: [tmp_path])
    assert len(registry.installed()) == kind.startswith("config")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
META = st.fixed_dictionaries(
    {},
    optional={
        "layout": st.just(1) | JSON,
        "name": st.text(max_size=5) | JSON,
        "summary": st.text(max_size=5) | JSON,
        "parameters": st.integers() | JSON,
        "bottleneck": st.just("gaussian") | JSON,
        "ranges": st.just("int8") | JSON,
        "config": st.dictionaries(
            st.sampled_from([field.name for field in dataclasses.fields(CodecConfig)]),
            st.integers(-1, 70_000) | JSON,
        )
        | JSON,
    },
)


@given(JSON, META, st.integers(0, 2))
def test_any_header_loads_or_is_refused(tmp_path_factory, anything, meta, depth):
    metadata = {"glc": json.dumps(meta)} if depth else anything
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    path.write_bytes(header({"__metadata__": metadata} if depth < 2 else anything))
    try:
        loaded = checkpoint.load(path)
        Codec(loaded, device="cpu")
    except WeightsError:
        return
    pytest.fail("a file without tensors cannot be a model")


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_truncated_weights(micro_path, tmp_path, share):
    data = micro_path.read_bytes()
    path = tmp_path / "cut.safetensors"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(WeightsError, match="cut"):
        checkpoint.load(path)


def test_weights_of_another_program(tmp_path):
    path = tmp_path / "other.safetensors"
    safetensors.numpy.save_file({"a": np.zeros(3, np.float32)}, path)
    with pytest.raises(WeightsError, match="not weights of glc"):
        checkpoint.load(path)


def test_installed_describes_the_model(folder, micro):
    manifest.write_manifest(folder, "micro")
    (info,) = registry.installed()
    assert (info.name, info.identity, info.default) == ("micro", micro.identity, True)
    assert info.path == folder / "micro.safetensors"
    assert info.size_bytes == info.path.stat().st_size
    # All that is no table, buffers included.
    assert info.parameters >= sum(p.numel() for p in micro.networks.model.parameters())


def test_a_manifest_holds_every_digest(folder, micro):
    manifest.write_manifest(folder, "micro")
    written = json.loads((folder / "manifest.json").read_text())
    assert written == {"default": "micro", DIGEST: {"micro.safetensors": micro.identity.hex()}}


def test_changed_weights_beside_a_manifest_are_refused(folder, make_model, export_model):
    manifest.write_manifest(folder, "micro")
    path = folder / "micro.safetensors"
    checkpoint.load(path)
    export_model(path, make_model(8), "micro")
    with pytest.raises(WeightsError, match="was changed"):
        Codec.from_pretrained("micro", device="cpu")


@pytest.mark.parametrize(
    "text", ["", "[]", '{"default": 3, "sha256": []}', '{"sha256": 1}', "\0", "[" * 100_000]
)
def test_a_broken_manifest_is_as_none(folder, text):
    (folder / "manifest.json").write_text(text)
    checkpoint.load(folder / "micro.safetensors")
    assert [info.default for info in registry.installed()] == [False]


def test_locate(folder, micro_path):
    assert registry.locate("micro") == folder / "micro.safetensors"
    assert registry.locate(str(micro_path)) == registry.locate(micro_path) == micro_path
    with pytest.raises(WeightsError, match=r"a default model.*installed: micro \([0-9a-f]{6}\)"):
        registry.locate()
    with pytest.raises(WeightsError, match=r"'huge'.*installed: micro"):
        registry.locate("huge")
    with pytest.raises(WeightsError, match=r"no weights file .*gone\.safetensors"):
        registry.locate(folder / "gone.safetensors")
    manifest.write_manifest(folder, "micro")
    assert registry.locate() == folder / "micro.safetensors"


def test_find(folder, micro):
    for length in (3, 32):
        assert registry.find(micro.identity[:length]).name == "micro"
    with pytest.raises(WeightsError) as caught:
        registry.find(b"\x01\x02\x03")
    for part in ("010203", "micro", micro.identity[:3].hex(), registry.MODELS_VARIABLE):
        assert part in str(caught.value)
    (folder / "micro.safetensors").unlink()
    with pytest.raises(WeightsError, match="no model is installed"):
        registry.find(b"\x01\x02\x03")


def test_folders_of_the_variable_come_first(
    micro_path, make_model, export_model, tmp_path, monkeypatch
):
    first, second = tmp_path / "first", tmp_path / "second"
    export_model(first / "one.safetensors", make_model(5), "one")
    export_model(second / "another.safetensors", make_model(6), "another")
    shutil.copy(first / "one.safetensors", second / "one-again.safetensors")
    for place, name in ((first, "one"), (second, "another")):
        manifest.write_manifest(place, name)
    value = f"{first}:{tmp_path / 'absent'}::{second}".replace(":", os.pathsep)
    monkeypatch.setenv(registry.MODELS_VARIABLE, value)
    assert registry.model_folders()[:3] == [first, tmp_path / "absent", second]
    models = {info.name: info for info in registry.installed()}
    assert models["one"].path.parent == first
    # Both folders name a default: there is one nevertheless, that of the first.
    assert [info.name for info in registry.installed() if info.default] == ["one"]
    assert Codec.from_pretrained(device="cpu").name == "one"
    assert Codec.from_pretrained("another", device="cpu").name == "another"
