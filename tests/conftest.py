"""A model small enough for every test, with random weights, and pictures to code with it."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from glc.bitstream import FORMAT_VERSIONS
from glc.config import CodecConfig

# Most tests compare what torch makes, bit for bit; those of both runtimes name them.
os.environ.setdefault("GLC_RUNTIME", "torch")
# The networks of the tests are far too small for several threads, which would only wait for each
# other on a busy machine. Read when torch is first imported; processes of tests inherit them.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# How long an example takes says what else the machine does, and nothing about the code.
settings.register_profile("glc", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("glc")

MICRO = CodecConfig(
    latent_channels=16,
    codebook_size=16,
    y_channels=16,
    hyper_channels=16,
    hyper_levels=(4, 4, 4),
    encoder_width_4=16,
    encoder_width_8=16,
    encoder_width_16=16,
    encoder_depth_4=1,
    encoder_depth_8=1,
    encoder_depth_16=1,
    decoder_width_4=16,
    decoder_width_8=16,
    decoder_width_16=16,
    decoder_depth_4=1,
    decoder_depth_8=1,
    decoder_depth_16=1,
    refine_channels=4,
    transform_width=16,
    transform_depth=1,
    context_width=16,
    context_depth=1,
    scale_hidden=8,
    quality_anchors=3,
)

LINEAR = dataclasses.replace(MICRO, architecture=2, hyper_levels=(8, 4, 4))
"""Its networks stand beside linear maps, and D takes a realism."""

TWO_DECODERS = dataclasses.replace(
    LINEAR,
    architecture=3,
    realistic_width_4=8,
    realistic_width_8=12,
    realistic_width_16=20,
    realistic_depth_4=2,
    realistic_depth_8=2,
    realistic_depth_16=3,
)
"""The second decoder has other sizes than the first, and sees farther."""


def random_model(seed: int, config: CodecConfig = MICRO) -> Any:
    """Return a GlcModel whose symbols, rows and z indices all vary, as those of a trained one."""
    import torch

    from glc.networks.model import GlcModel

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model = GlcModel(config)
        if config.linear:
            _unsettle(model)
        else:
            model.encoder.centre.running_mean.normal_(0.0, 0.05)
            model.encoder.centre.running_var.fill_(0.01)
        model.hyper_analysis.head.weight.mul_(6.0)
        scales = model.scale_map
        scales.bias.add_(8.0 * torch.randn(1, config.y_channels) - 10.0)
        scales.weight.mul_(5.0)
        scales.context_weight.normal_(0.0, 0.3)
        for name, parameter in model.named_parameters():
            if name.endswith("log_gain"):
                parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


def _unsettle(model: Any) -> None:
    """Give what starts at zero or one, and would hide a mistake, values of its own."""
    import torch

    for name, parameter in model.named_parameters():
        if not parameter.any() or "linear" in name or "low_pass" in name:
            fan_in = parameter[0].numel() if parameter.dim() > 1 else len(parameter)
            parameter.normal_(0.0, 0.5 / fan_in**0.5)
        if name.endswith("anchors"):
            parameter.uniform_(0.5, 1.5)
    for name, buffer in model.named_buffers():
        if name.endswith("scale"):
            buffer.copy_(torch.linspace(2.0, 0.2, len(buffer)))


def random_picture(height: int, width: int, seed: int = 0, channels: int = 3) -> np.ndarray:
    """Return smooth shapes with some texture: (H, W, channels) uint8, (H, W) for one channel."""
    rng = np.random.default_rng([seed, height, width])
    y, x = np.mgrid[:height, :width] / 24.0
    planes = []
    for _ in range(channels):
        a, b, phase = rng.uniform(-1.0, 1.0, 3)
        wave = 90.0 * np.sin(a * x + b * y + 6.0 * phase) + 25.0 * np.sin(5.0 * x * b + a)
        planes.append(128.0 + wave + rng.normal(0.0, 8.0, (height, width)))
    pixels = np.clip(np.stack(planes, axis=-1), 0, 255).astype(np.uint8)
    return pixels[..., 0] if channels == 1 else pixels


def narrow_tables() -> Any:
    """Return scale tables that hold small symbols only, so that escapes are common."""
    from glc.entropy import ScaleTables

    wide = ScaleTables.build()
    half_widths = np.minimum(wide.half_widths, 5)
    frequencies = np.zeros((len(half_widths), 12), np.int32)
    for row, half_width in enumerate(half_widths):
        used = 2 * half_width + 1 if row else 1
        frequencies[row, :used] = wide.frequencies[row, :used]
        if row:
            frequencies[row, used] = wide.frequencies[row, used:].sum()
    return ScaleTables(frequencies, half_widths)


def export(path: Path, model: Any, name: str, scales: Any = None, bottleneck: Any = None) -> bytes:
    """Write a weights file with tables that nothing was counted for; returns its identity."""
    from glc.entropy import IndexTables, ScaleTables
    from glc.runtime.torch import bottleneck_tensors, model_tensors
    from glc.weights import checkpoint

    config = model.config
    counts = np.zeros((config.quality_anchors, config.hyper_size), np.int64)
    tensors = model_tensors(model, scales or ScaleTables.build(), IndexTables.build(counts))
    layers = None if bottleneck is None else bottleneck_tensors(bottleneck)
    return checkpoint.save(path, config, name, "random weights, for tests", tensors, layers)


@pytest.fixture(autouse=True)
def same_threads_afterwards() -> Iterator[None]:
    """Undo what a test does to the number of threads of torch."""
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else 1
    yield
    torch = sys.modules.get("torch")
    if torch and torch.get_num_threads() != before:
        torch.set_num_threads(before)


@pytest.fixture(scope="session", params=FORMAT_VERSIONS, ids="v{}".format)
def version(request: pytest.FixtureRequest) -> int:
    """Every version of the file: what holds for one holds for all."""
    found: int = request.param
    return found


@pytest.fixture(scope="session", params=["torch", "onnxruntime"])
def runtime(request: pytest.FixtureRequest) -> str:
    """Either of what computes: what holds for one holds for both."""
    found: str = request.param
    return found


@pytest.fixture(scope="session")
def micro_config() -> CodecConfig:
    return MICRO


@pytest.fixture(scope="session")
def make_model() -> Callable[..., Any]:
    return random_model


@pytest.fixture(scope="session")
def unsettle() -> Callable[[Any], None]:
    return _unsettle


@pytest.fixture(scope="session")
def make_picture() -> Callable[..., np.ndarray]:
    return random_picture


@pytest.fixture(scope="session")
def export_model() -> Callable[..., bytes]:
    return export


@pytest.fixture(scope="session")
def micro_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights file with random weights."""
    path = tmp_path_factory.mktemp("micro") / "micro.safetensors"
    export(path, random_model(1), "micro")
    return path


@pytest.fixture(scope="session")
def linear_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights file of architecture 2 with random weights."""
    path = tmp_path_factory.mktemp("linear") / "linear.safetensors"
    model = random_model(2, LINEAR)
    # So that its network, and with it a realism, moves pixels by several levels.
    model.decoder.render.weight.data.mul_(20.0)
    export(path, model, "linear")
    return path


@pytest.fixture(scope="session")
def linear(linear_path: Path) -> Any:
    """The codec with those weights."""
    from glc.codec import Codec

    return Codec.from_pretrained(linear_path, runtime="torch", device="cpu")


@pytest.fixture(scope="session")
def two_decoders_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights file of architecture 3 with random weights."""
    path = tmp_path_factory.mktemp("two decoders") / "two_decoders.safetensors"
    model = random_model(3, TWO_DECODERS)
    for decoder in (model.decoder, model.realistic_decoder):
        decoder.render.weight.data.mul_(10.0)
    export(path, model, "two_decoders")
    return path


@pytest.fixture(scope="session")
def two_decoders(two_decoders_path: Path) -> Any:
    """The codec with those weights."""
    from glc.codec import Codec

    return Codec.from_pretrained(two_decoders_path, runtime="torch", device="cpu")


@pytest.fixture(scope="session")
def gaussian_layers() -> Any:
    """A bottleneck for the micro model, of weights that half floats hold exactly."""
    import torch

    from glc.networks.codebook import GaussianBottleneck

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        layers = GaussianBottleneck(MICRO.latent_channels)
    return layers.half().float().eval().requires_grad_(False)


@pytest.fixture(scope="session")
def gaussian_path(gaussian_layers: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The micro weights with that bottleneck."""
    path = tmp_path_factory.mktemp("gaussian") / "gaussian.safetensors"
    export(path, random_model(1), "gaussian", bottleneck=gaussian_layers)
    return path


@pytest.fixture(scope="session")
def load_micro(micro_path: Path) -> Callable[..., Any]:
    """Return a function that gives a new codec with the micro weights."""
    from glc.codec import Codec

    def load(device: str = "cpu") -> Codec:
        return Codec.from_pretrained(micro_path, runtime="torch", device=device)

    return load


@pytest.fixture(scope="session")
def micro(load_micro: Callable[..., Any]) -> Any:
    """The codec with the micro weights."""
    return load_micro()


def with_ranges(codec: Any, weights_path: Path, path: Path) -> Path:
    """Write weights again, with ranges for 8 bits that were measured on random pictures."""
    from glc.training.export.calibration import measure
    from glc.weights import checkpoint

    weights = checkpoint.load(weights_path)
    ranges = measure(codec, [[random_picture(128, 128, seed) for seed in range(3)]])
    fields = weights.config, "ranged", weights.summary, weights.tensors
    checkpoint.save(path, *fields, ranges=ranges)
    return path


@pytest.fixture(scope="session")
def ranged_path(micro_path: Path, micro: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The micro weights with ranges for 8 bits."""
    path = tmp_path_factory.mktemp("ranged") / "ranged.safetensors"
    return with_ranges(micro, micro_path, path)


@pytest.fixture(scope="session")
def ranged_linear_path(
    linear_path: Path, linear: Any, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The weights of architecture 2 with ranges for 8 bits."""
    path = tmp_path_factory.mktemp("ranged linear") / "ranged.safetensors"
    return with_ranges(linear, linear_path, path)


@pytest.fixture(scope="session")
def ranged_two_decoders_path(
    two_decoders_path: Path, two_decoders: Any, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The weights of architecture 3 with ranges for 8 bits."""
    path = tmp_path_factory.mktemp("ranged two decoders") / "ranged.safetensors"
    return with_ranges(two_decoders, two_decoders_path, path)


@pytest.fixture(scope="session")
def check_progress() -> Callable[..., None]:
    """Return a function that looks at what a codec tells of its work in tiles."""

    def check(codec: Any, picture: np.ndarray) -> None:
        names = ("encode", "decode", "verify", "to size")
        shares: dict[str, list[float]] = {name: [] for name in names}
        data = codec.encode(picture, 50, progress=shares["encode"].append)
        codec.decode(data, progress=shares["decode"].append)
        codec.verify(data, progress=shares["verify"].append)
        codec.encode_to_size(picture, len(data), progress=shares["to size"].append)
        for told in shares.values():
            assert len(told) > 20
            assert told == sorted(told)
            assert told[0] > 0.0
        for name in ("encode", "decode", "verify"):
            assert shares[name][-1] == pytest.approx(1.0)

    return check


@pytest.fixture(scope="session")
def symbols_of() -> Callable[..., list[bytes]]:
    """Return a function that gives the canonical symbols of files, decoded as one batch.

    All must have the same padded size and quality. Their checksums are compared, too.
    """
    from glc.bitstream import unpack
    from glc.coding import assembly

    def read(codec: Any, *files: bytes) -> list[bytes]:
        seen: list[bytes] = []
        original = assembly.canonical

        def recording(indices: np.ndarray, symbols: np.ndarray) -> bytes:
            seen.append(original(indices, symbols))
            return seen[-1]

        with mock.patch.object(assembly, "canonical", recording):
            codec.coder.read_symbols([unpack(data) for data in files])
        return seen

    return read


@pytest.fixture
def random_perception(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an effort look through a network of random weights, since SqueezeNet's are not here."""
    from glc.effort import look
    from tests.perception import random_network

    monkeypatch.setattr(look, "installed", random_network().to)
