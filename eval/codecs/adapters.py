"""The codecs under test, each a small adapter: picture -> bytes -> picture.

A name makes a codec: `glc` (the shipped model), `glc:MODEL` (a name or path), `glc-fast` and
`glc-fast:MODEL` (the same by ONNX Runtime), `glc-int8` and `glc-int8:MODEL` (decoded in 8 bits),
any of these and `@realism=N`, 0 faithful to 100 realistic (the same files, shown otherwise), or
`@effort=N`, 0 to 9 (an encoder that searches), or `@mean-colors` (a chunk for them),
`pca16` (principal components of blocks, no network), `pca16:FILE` (the same, fitted by you),
`jpeg`, `webp`, `avif`, `heic`, `jxl`, `jpeg2000`, `compressai:MODEL` (of its zoo), and `NAME@1/2`
or `NAME@1/4`: shrink, encode, decode, enlarge, as people do when JPEG will not go small enough.

A quality is whatever number the codec's own encoder takes, higher being better; only `jpeg2000`
has none and takes bits per pixel.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

from PIL import Image, features

from eval.codecs import zoo
from eval.metrics.backbones import Unavailable
from glc.config import REALISM_MAX
from glc.effort.levels import EFFORT_MAX


class Codec(Protocol):
    """What an evaluation needs of a codec."""

    @property
    def name(self) -> str:
        """How tables and file names call it."""

    @property
    def version(self) -> str:
        """Library version or model identity: with another one everything is measured anew."""

    @property
    def qualities(self) -> tuple[float, ...]:
        """The points of its curve, lowest rate first."""

    def encode(self, image: Image.Image, quality: float) -> bytes:
        """Return the file of an RGB picture.

        Args:
            image: RGB, of any size.
            quality: one of the encoder's own scale, higher being better; see ``qualities``.
        """

    def decode(self, data: bytes) -> Image.Image:
        """Return the RGB picture of `data`, a file made by `encode`."""


@dataclass(frozen=True)
class PillowCodec:
    """A format that Pillow, or a plugin of it, reads and writes."""

    name: str
    format: str
    version: str
    qualities: tuple[float, ...]
    options: dict[str, Any] = field(default_factory=dict)

    def encode(self, image: Image.Image, quality: float) -> bytes:
        """Return the file of an RGB `image` at the encoder's `quality`, rounded."""
        return self._save(image, quality=round(quality))

    def decode(self, data: bytes) -> Image.Image:
        """Return the picture of `data` as RGB."""
        return Image.open(io.BytesIO(data), formats=[self.format]).convert("RGB")

    def _save(self, image: Image.Image, **choices: Any) -> bytes:
        buffer = io.BytesIO()
        image.save(buffer, self.format, **self.options, **choices)
        return buffer.getvalue()


@dataclass(frozen=True)
class Jpeg2000Codec(PillowCodec):
    """JPEG 2000 with the 9/7 wavelet; its quality is the rate in bits per pixel."""

    def encode(self, image: Image.Image, quality: float) -> bytes:
        """Return the file of an RGB `image`, of about `quality` bits per pixel."""
        return self._save(image, quality_layers=[24 / quality])


@dataclass(frozen=True)
class ShrunkCodec:
    """Another codec on a picture shrunk by a whole factor, enlarged again after decoding.

    The size of the picture travels in 4 bytes before the inner file and is counted.
    """

    inner: Codec
    factor: int
    name: str
    version: str
    qualities: tuple[float, ...]

    def encode(self, image: Image.Image, quality: float) -> bytes:
        """Shrink `image` with Lanczos, then encode at the inner codec's `quality`."""
        size = (max(1, image.width // self.factor), max(1, image.height // self.factor))
        small = image.resize(size, Image.Resampling.LANCZOS)
        return struct.pack(">HH", *image.size) + self.inner.encode(small, quality)

    def decode(self, data: bytes) -> Image.Image:
        """Decode `data`, then enlarge with Lanczos to the size of the original."""
        size = struct.unpack(">HH", data[:4])
        return self.inner.decode(data[4:]).resize(size, Image.Resampling.LANCZOS)


_HOW = {
    "glc": ("torch", "float32"),
    "glc-fast": ("onnxruntime", "float32"),
    "glc-int8": ("onnxruntime", "int8"),
}
"""Runtime and precision."""
_MEAN_COLORS = "@mean-colors"


class GlcCodec:
    """The codec of this project; a model holds all rates, and the default ones share them."""

    qualities: tuple[float, ...] = (0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100)

    def __init__(
        self,
        model: str | None,
        device: str,
        kind: str = "glc",
        realism: int | None = None,
        effort: int | None = None,
        mean_colors: bool = False,
    ) -> None:
        """Load a model by name or path, None for the shipped one.

        Args:
            model: name or path.
            device: where it runs.
            kind: ``glc`` with torch; ``glc-fast`` without; ``glc-int8`` decodes in 8 bits.
            realism: how files are shown; None is the default of the codec.
            effort: of the encoder; None is the default of the codec.
            mean_colors: store them.

        Raises:
            Unavailable: it is not installed, cannot be read, or takes no realism.
        """
        try:
            from glc import Codec as Model
            from glc import GlcError
        except ImportError as error:
            raise Unavailable(f"glc is not installed: {error}") from error
        runtime, precision = _HOW[kind]
        try:
            self._codec = Model.from_pretrained(
                model, runtime=runtime, device=device, precision=precision
            )
        except (OSError, GlcError) as error:
            raise Unavailable(f"no model to evaluate: {error}") from error
        except (ModuleNotFoundError, ValueError) as error:
            raise Unavailable(str(error)) from error
        if realism is not None and not self._codec.takes_realism:
            raise Unavailable(f"model {self._codec.name} takes no realism; leave @realism out")
        self.name = kind if model is None else f"{kind}:{Path(model).stem}"
        self._realism = realism
        if realism is not None:
            self.name += f"@realism={realism}"
        self._effort = 0 if effort is None else effort
        if effort is not None:
            self.name += f"@effort={effort}"
        self._mean_colors = mean_colors
        if mean_colors:
            self.name += _MEAN_COLORS
        self.version = "+".join(identity.hex()[:12] for identity in self._codec.identities)

    def encode(self, image: Image.Image, quality: float) -> bytes:
        """Return the .glc file of an RGB `image` at a `quality` of 0..100, rounded."""
        how = {"effort": self._effort, "mean_colors": self._mean_colors}
        data: bytes = self._codec.encode(image, quality=round(quality), **how)
        return data

    def decode(self, data: bytes) -> Image.Image:
        """Return the picture of `data`, a .glc file, as RGB."""
        image: Image.Image = self._codec.decode(data, realism=self._realism)
        return image


GLC_KINDS = tuple(_HOW)


def build(name: str, device: str = "cpu") -> Codec:
    """Make the codec called `name`, as the head of this module lists them.

    Args:
        name: such as ``glc:base``, ``heic`` or ``jpeg@1/2``.
        device: where networks run, as torch calls it; others compute on the CPU.

    Raises:
        Unavailable: a library or model it needs is not installed.
        ValueError: there is no such codec.

    Example:
        >>> from eval.codecs import adapters
        >>> from eval.pictures import load
        >>> half = adapters.build("jpeg@1/2")
        >>> half.decode(half.encode(load(Path("photo.jpg")), quality=30)).size
        (96, 64)
    """
    shrunk = re.fullmatch(r"(.+)@1/([2-9]|1[0-6])", name)
    if shrunk:
        inner = build(shrunk[1], device)
        return ShrunkCodec(inner, int(shrunk[2]), name, inner.version, inner.qualities)
    shown = re.fullmatch(r"(.+)@realism=(\d+)", name, re.ASCII)
    searched = re.fullmatch(r"(.+)@effort=(\d+)", name, re.ASCII)
    colored = name.endswith(_MEAN_COLORS)
    option = shown or searched
    plain = option[1] if option else name.removesuffix(_MEAN_COLORS)
    kind, _, model = plain.partition(":")
    if kind in GLC_KINDS:
        if shown and int(shown[2]) > REALISM_MAX:
            raise ValueError(f"--codecs: {name}: expected a realism of 0 to {REALISM_MAX}")
        if searched and int(searched[2]) > EFFORT_MAX:
            raise ValueError(f"--codecs: {name}: expected an effort of 0 to {EFFORT_MAX}")
        realism, effort = (int(found[2]) if found else None for found in (shown, searched))
        return GlcCodec(model or None, device, kind, realism, effort, colored)
    if kind == "pca16" and not colored:
        from eval.codecs.pca16 import Pca16Codec

        return Pca16Codec(Path(model) if model else None)
    if name.startswith("compressai:"):
        return zoo.build(name.partition(":")[2], device)
    if name not in _PILLOW:
        known = ", ".join(
            [
                *(
                    *GLC_KINDS,
                    "glc:MODEL",
                    "glc@realism=0",
                    "glc@effort=4",
                    "glc@mean-colors",
                    "pca16",
                    *_PILLOW,
                ),
                *("compressai:MODEL", "NAME@1/2"),
            ]
        )
        raise ValueError(f"--codecs: unknown codec {name!r}; known: {known}")
    return _PILLOW[name]()


DEFAULT = (
    "glc",
    "pca16",
    "jpeg",
    "webp",
    "avif",
    "heic",
    "jxl",
    "jpeg2000",
    "jpeg@1/2",
    "avif@1/4",
)
QUICK = ("glc", "pca16", "jpeg", "webp", "avif", "jpeg@1/2")


def _jpeg(name: str, options: dict[str, Any]) -> PillowCodec:
    turbo = features.version("libjpeg_turbo") or features.version("jpg")
    return PillowCodec(name, "JPEG", f"libjpeg {turbo}", (1, 5, 10, 20, 30), options)


def _webp() -> PillowCodec:
    _need("webp")
    webp = f"libwebp {features.version('webp')}"
    return PillowCodec("webp", "WEBP", webp, (0, 5, 10, 20, 40), {"method": 6})


def _avif() -> PillowCodec:
    _need("avif")
    avif = f"libavif {features.version('avif')}"
    return PillowCodec("avif", "AVIF", avif, (0, 5, 10, 15, 20, 30), {"speed": 6})


def _heic() -> PillowCodec:
    try:
        import pillow_heif
    except ImportError as error:
        raise Unavailable("needs the package pillow-heif: pip install pillow-heif") from error
    pillow_heif.register_heif_opener()
    heif = f"libheif {pillow_heif.libheif_version()}"
    return PillowCodec("heic", "HEIF", heif, (0, 5, 10, 15, 20, 25))


def _jxl() -> PillowCodec:
    try:
        import pillow_jxl  # noqa: F401  (importing it registers the format)
    except ImportError as error:
        message = "needs the package pillow-jxl-plugin: pip install pillow-jxl-plugin"
        raise Unavailable(message) from error
    plugin = f"pillow-jxl-plugin {_version('pillow-jxl-plugin')}"
    return PillowCodec("jxl", "JXL", plugin, (0, 5, 10, 20, 30))


def _jpeg2000() -> Jpeg2000Codec:
    _need("jpg_2000")
    rates = (0.02, 0.03, 0.05, 0.1, 0.2, 0.4)
    options = {"irreversible": True, "quality_mode": "rates"}
    openjpeg = f"openjpeg {features.version('jpg_2000')}"
    return Jpeg2000Codec("jpeg2000", "JPEG2000", openjpeg, rates, options)


_PILLOW: dict[str, Callable[[], PillowCodec]] = {
    # Optimised Huffman tables cost nothing and halve the smallest files; the plain encoder's
    # curve is there for comparison with figures made without them.
    "jpeg": lambda: _jpeg("jpeg", {"optimize": True}),
    "jpeg-plain": lambda: _jpeg("jpeg-plain", {}),
    "webp": _webp,
    "avif": _avif,
    "heic": _heic,
    "jxl": _jxl,
    "jpeg2000": _jpeg2000,
}


def _need(feature: str) -> None:
    if not features.check(feature):
        raise Unavailable(f"this Pillow was built without {feature}: pip install -U pillow")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
