"""``glc decode``: .glc files to pictures."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from codec_cli.support import exit_codes
from codec_cli.support.atomic_output import Outputs
from codec_cli.support.batch import (
    Outcome,
    check_standard_output,
    read,
    reason_of,
    report_missing,
    run_jobs,
    writable_jobs,
)
from codec_cli.support.codecs import Codecs
from codec_cli.support.completeness import check_size, is_cut_picture, size_of_glc, size_of_picture
from codec_cli.support.options import (
    Parser,
    add_device,
    add_inputs,
    add_int8,
    add_jobs,
    add_limits,
    add_outputs,
    add_realism,
    add_reporting,
    add_tile,
    limits_of,
    precision_of,
)
from codec_cli.support.paths import Job, expand, plan
from codec_cli.support.report import Report
from codec_cli.support.suffixes import GLC_SUFFIXES, check_suffix, named_output
from glc.bitstream import unpack, unpack_prefix
from glc.tiling.progress import Progress

if TYPE_CHECKING:
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

__all__ = ["run"]

_FORMATS = {".png": "png", ".jpg": "jpg", ".jpeg": "jpg", ".webp": "webp"}
_JPEG_MAX_METADATA = 65_533 - 29
"""A JPEG segment, less the longest prefix that EXIF and XMP have in it."""


def run(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    options = _parser().parse_intermixed_args(arguments)
    expansion = expand(options.inputs, GLC_SUFFIXES, options.recursive)
    suffix = f".{options.format or 'png'}"
    jobs = plan(expansion, options.output, suffix, GLC_SUFFIXES)
    image_format = _format(options.format, options.output, jobs)
    check_standard_output(jobs, options.json)

    total = len(jobs) + len(expansion.failures)
    with (
        Report("decode", total, options.json, options.quiet) as report,
        Outputs(options.force) as outputs,
    ):
        report_missing(expansion, report)
        jobs = writable_jobs(
            jobs, options.force, options.skip_existing, report, is_cut_picture, _check_source
        )
        limits, precision = limits_of(options), precision_of(options)
        shown = options.tile, precision, options.realism
        codecs = Codecs(options.model, options.device, limits, *shown)
        if jobs and options.model is not None:
            try:
                codecs.for_model()
            except Exception as error:
                report.failed(None, reason_of(error), {})
                return exit_codes.FAILED
        part = "preview" if options.preview else "partial" if options.partial else ""
        work = _Decoding(codecs, outputs, image_format, part)
        return run_jobs(jobs, work, options.jobs, report)


def _check_source(source: Path, target: Path) -> None:
    """Refuse an output that exists and is that of another file.

    Raises:
        OtherSourceError: it has another size.
        OSError: the source cannot be read.
    """
    check_size(size_of_glc(source.read_bytes()), size_of_picture(target))


@dataclass(frozen=True)
class _Decoding:
    """Makes one picture file."""

    codecs: Codecs
    outputs: Outputs
    image_format: str
    part: str
    """preview, partial, or empty for whole files only."""

    def __call__(self, job: Job, progress: Progress | None) -> Outcome:
        data = read(job.source)
        image, quality, said, arrived = self._decode(data, progress)
        picture, notices = encoded_as(image, self.image_format)
        self.outputs.write(job.target, picture, replaces=job.replaces)

        width, height = image.size
        bpp = 8 * len(data) / (width * height)
        fields: dict[str, object] = {
            "output": job.target_name,
            "width": width,
            "height": height,
            "bytes": len(data),
            "bpp": round(bpp, 6),
            "quality": quality,
            "output_bytes": len(picture),
            **arrived,
        }
        line = f"{job.source.name} -> {job.target_name}  {width} x {height}  q{quality}"
        return Outcome(line, fields, (*said, *notices))

    def _decode(
        self, data: bytes, progress: Progress | None
    ) -> tuple[Image.Image, int, tuple[str, ...], dict[str, object]]:
        """Return the picture, its quality, what has to be said of it, and that as fields."""
        if not self.part:
            whole = self.codecs.for_file(data)
            said = self.codecs.realism_notice(whole)
            image = whole.decode(data, realism=self.codecs.realism, progress=progress)
            return image, unpack(data, whole.limits).quality, said, {}
        codec, realism = self.codecs.for_part(data), self.codecs.realism
        quality = unpack_prefix(data, codec.limits).header.quality
        if self.part == "preview":
            said = ("a preview: the hyper-latent alone, nothing was verified",)
            said += self.codecs.realism_notice(codec)
            return codec.preview(data, realism=realism), quality, said, {"preview": True}
        partial = codec.decode_partial(data, realism=realism)
        said = self.codecs.realism_notice(codec)
        come, expected = partial.payload_bytes, partial.payload_expected
        fields: dict[str, object] = {
            "complete": partial.is_complete,
            "payload_bytes": come,
            "payload_expected": expected,
            "steps": partial.steps,
            "symbols": partial.symbols,
        }
        if partial.is_complete:
            return partial.image, quality, said, fields
        arrived = (
            f"{come:,} of {expected:,} bytes of the payload have arrived "
            f"({come / max(expected, 1):.0%}): {partial.symbols:,} symbols, "
            f"{partial.steps} of 4 steps to their end"
        )
        return partial.image, quality, (arrived, *partial.notices, *said), fields


def encoded_as(image: Image.Image, image_format: str) -> tuple[bytes, list[str]]:
    """Return a decoded picture as the bytes of a png, jpg or webp file, and what that loses."""
    notices: list[str] = []
    metadata = {key: image.info[key] for key in ("exif", "xmp") if image.info.get(key)}
    parameters: dict[str, object] = {}
    if image_format == "png":
        # Of decoded photographs files as small as those of Pillow's own level 6, in less time.
        parameters = {"compress_level": 4}
        if "xmp" in metadata:
            # Pillow has no option for it here, and would leave it out without a word.
            parameters["pnginfo"] = _png_text(metadata.pop("xmp"))
    if image_format == "jpg":
        if image.mode in ("LA", "RGBA"):
            image = _on_white(image)
            notices.append("JPEG has no transparency; put on white")
        for key in [key for key, value in metadata.items() if len(value) > _JPEG_MAX_METADATA]:
            del metadata[key]
            notices.append(f"{key.upper()} is too large for JPEG and is left out")
        parameters = {"quality": 95, "subsampling": 0}
    elif image_format == "webp":
        parameters = {"quality": 95, "method": 4, "exact": True}
    pillow_format = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}[image_format]
    stream = io.BytesIO()
    image.save(stream, pillow_format, **parameters, **metadata)
    return stream.getvalue(), notices


def _png_text(xmp: bytes) -> PngInfo:
    """Return XMP as the text chunk that PNG keeps it in (XMP specification, part 3)."""
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", xmp.decode("utf-8", errors="replace"))
    return info


def _on_white(image: Image.Image) -> Image.Image:
    from PIL import Image

    opaque = image.mode.removesuffix("A")
    white = Image.new(opaque, image.size, "white")
    white.paste(image.convert(opaque), mask=image.getchannel("A"))
    return white


def _format(chosen: str | None, output: str | None, jobs: Sequence[Job]) -> str:
    """Return the format that ``--format`` and the suffix of ``-o FILE`` agree on."""
    named = named_output(jobs, output)
    suffix = named.suffix.lower() if named else ""
    if named is None or not suffix:
        return chosen or "png"
    implied = _FORMATS.get(suffix)
    if implied is None and chosen is None:
        raise exit_codes.UsageError(
            f"-o {output}: no format for {suffix}; expected .png, .jpg or .webp, or --format"
        )
    if implied is None:
        check_suffix("-o", named, f"a {chosen} file", f".{chosen}")
    elif chosen not in (None, implied):
        better = named.with_suffix(f".{chosen}")
        raise exit_codes.UsageError(f"-o {output}: contradicts --format {chosen}; name it {better}")
    return chosen or implied or "png"


def _parser() -> Parser:
    parser = Parser(prog="glc decode", description="Turn .glc files back into pictures.")
    add_inputs(parser, ".glc files")
    add_outputs(parser, "default: beside the input, .glc replaced by the suffix of the format")
    parser.add_argument(
        "--format",
        choices=("png", "jpg", "webp"),
        help="of the pictures (default: what the suffix of OUT says, else png)",
    )
    parts = parser.add_mutually_exclusive_group()
    parts.add_argument(
        "--preview",
        action="store_true",
        help="show what the first bytes alone say, of whole files or parts of them",
    )
    parts.add_argument(
        "--partial",
        action="store_true",
        help="decode what has arrived of a file that was cut off, and say how much that is",
    )
    add_int8(parser)
    add_realism(parser)
    add_device(parser, "default: for each file the model that it was made with")
    add_tile(parser)
    add_jobs(parser)
    add_limits(parser)
    add_reporting(parser)
    return parser
