"""``glc info --heatmap``: draws where the bits of one picture or one .glc file went."""

from __future__ import annotations

import argparse
import io
from pathlib import Path

from codec_cli.support import exit_codes
from codec_cli.support.atomic_output import Outputs
from codec_cli.support.batch import Outcome, read, report_missing, run_jobs, writable_jobs
from codec_cli.support.codecs import Codecs
from codec_cli.support.completeness import is_cut_picture
from codec_cli.support.options import limits_of
from codec_cli.support.paths import STDIO, Job, expand
from codec_cli.support.report import Report
from codec_cli.support.suffixes import GLC_SUFFIXES
from glc.bitstream import MAGIC, unpack
from glc.tiling.progress import Progress

__all__ = ["run"]

_DEFAULT_QUALITY = 50


def run(options: argparse.Namespace) -> int:
    """Run the command with the options of ``glc info`` and return its exit code."""
    expansion = expand(options.inputs, GLC_SUFFIXES, options.recursive)
    target = Path(options.heatmap)
    if expansion.is_many or options.heatmap == STDIO:
        raise exit_codes.UsageError("--heatmap draws one input, into a file; name one of each")
    if target.suffix.lower() not in ("", ".png"):
        better = target.with_suffix(".png")
        raise exit_codes.UsageError(f"--heatmap {target}: a .png file is written; name it {better}")
    codecs = Codecs(options.model, options.device or "auto", limits_of(options))
    with Report("info", 1, options.json, quiet=False) as report, Outputs(options.force) as outputs:
        report_missing(expansion, report)
        jobs = [Job(source, target) for source in expansion.sources]
        jobs = writable_jobs(jobs, options.force, False, report, is_cut_picture)

        def work(job: Job, progress: Progress | None) -> Outcome:
            return _draw(job, codecs, outputs, options.quality)

        return run_jobs(jobs, work, 1, report)


def _draw(job: Job, codecs: Codecs, outputs: Outputs, quality: int | None) -> Outcome:
    from glc import image
    from glc.rate import heatmap

    data = read(job.source)
    if data[:1] == MAGIC[:1]:
        if quality is not None:
            raise ValueError("a .glc file has its quality already; -q is for pictures")
        codec = codecs.for_file(data)
        quality = unpack(data, codec.limits).quality
        bits, picture = codec.bit_map(data, quality), codec.decode(data)
    else:
        quality = _DEFAULT_QUALITY if quality is None else quality
        loaded = image.load(data, job.source.name)
        bits = codecs.for_model().bit_map(loaded, quality)
        picture = image.to_pil(loaded)
    width, height = picture.size
    total = float(bits.sum())
    caption = f"bits per 16 x 16 pixels; {total / 8:,.0f} bytes, {total / (width * height):.4f} bpp"
    stream = io.BytesIO()
    heatmap.draw(picture, bits, 16, caption).save(stream, "PNG", optimize=True)
    outputs.write(job.target, stream.getvalue())
    fields: dict[str, object] = {
        "output": job.target_name,
        "width": width,
        "height": height,
        "quality": quality,
        "bits": round(total, 3),
        "bits_largest": round(float(bits.max()), 3),
        "bits_median": round(float(sorted(bits.ravel())[bits.size // 2]), 3),
    }
    line = f"{job.source.name} -> {job.target_name}  {caption}, at most {bits.max():.1f}"
    return Outcome(line, fields)
