"""Colours to sRGB: through an embedded profile, or as the file says without one."""

from __future__ import annotations

import io
from itertools import product

import numpy as np
from PIL import Image, ImageCms

from glc.image.bands import Plane, bands, row_slices, to_plane
from glc.image.untagged_color import Encoding

__all__ = ["to_srgb", "undo_encoding"]

_SRGB_TOLERANCE = 2
"""Levels that a profile may change colours by and still be sRGB; a curve of 2.2 changes 7."""


def to_srgb(flat: Image.Image | Plane, profile: object, grey: bool, notices: list[str]) -> Plane:
    """Return (H, W, 3) sRGB values; all three are equal for a grey picture."""
    if not isinstance(flat, np.ndarray) and flat.mode == "LAB":
        return _transform(flat, "LAB", ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")))
    if isinstance(profile, bytes) and profile:
        try:
            rgb = _through_profile(flat, profile)
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
            reason = " ".join(str(error).split())
            notices.append(f"unusable colour profile ({reason}); colours taken as sRGB")
        else:
            if grey:
                rgb[..., ::2] = rgb[..., 1:2]
            return rgb
    return _as_srgb(flat)


def _as_srgb(flat: Image.Image | Plane) -> Plane:
    if isinstance(flat, np.ndarray) and flat.ndim == 3:
        return flat
    return to_plane(flat, lambda band: band.convert("RGB"), 3)


def _through_profile(flat: Image.Image | Plane, data: bytes) -> Plane:
    profile = ImageCms.getOpenProfile(io.BytesIO(data))
    space = profile.profile.xcolor_space.strip()
    mode = next(band for _, band in bands(flat)).mode
    if space == "RGB" and mode == "L":
        mode = "RGB"
    expected = {"RGB": "RGB", "CMYK": "CMYK", "GRAY": "L"}.get(space)
    if mode != expected:
        raise ValueError(f"it is for {space} pixels, and these are {mode}")
    if mode != "CMYK" and _is_srgb(profile, mode):
        return _as_srgb(flat)
    return _transform(flat, mode, profile)


def _is_srgb(profile: ImageCms.ImageCmsProfile, mode: str) -> bool:
    """Tell from what a profile does, and not from its name, whether it is that of sRGB."""
    ramp = np.arange(256, dtype=np.uint8)[None]
    if mode == "RGB":
        corners = np.array([*product(range(0, 256, 51), repeat=3)], np.uint8)[None]
        ramp = np.concatenate((np.stack((ramp,) * 3, axis=-1), corners), axis=1)
    converted = _transform(ramp, mode, profile).astype(int)
    expected = ramp if mode == "RGB" else ramp[..., None]
    return bool(np.abs(converted - expected).max() <= _SRGB_TOLERANCE)


def _transform(flat: Image.Image | Plane, mode: str, profile: ImageCms.ImageCmsProfile) -> Plane:
    """Convert pixels, taken as of this mode, from a profile to sRGB: (H, W, 3)."""
    transform = ImageCms.buildTransform(
        profile,
        ImageCms.createProfile("sRGB"),
        mode,
        "RGB",
        renderingIntent=ImageCms.Intent.PERCEPTUAL,
    )

    def convert(band: Image.Image) -> Image.Image:
        converted = ImageCms.applyTransform(
            band if band.mode == mode else band.convert(mode), transform
        )
        if converted is None:
            raise ImageCms.PyCMSError("no image came out of the transform")
        return converted

    return to_plane(flat, convert, 3)


def undo_encoding(encoding: Encoding, rgb: Plane, grey: bool, is_curved: bool) -> None:
    """Bring (H, W, 3) samples to sRGB, in place."""
    curve = None if is_curved else encoding.curve(255)
    if curve is None and (grey or encoding.primaries is None):
        return
    for rows in row_slices(*rgb.shape[:2]):
        samples = rgb[rows] if curve is None else curve[rgb[rows]]
        rgb[rows] = samples if grey else encoding.to_srgb(samples)
