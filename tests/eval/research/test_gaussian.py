"""What ``eval.research.gaussian`` measures, against torch and against noise that is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from eval.research import gaussian
from glc import Codec
from glc.weights import checkpoint


@pytest.fixture(scope="module")
def bottleneck(gaussian_path):
    return gaussian.Bottleneck(checkpoint.load(gaussian_path).bottleneck)


def test_the_layers_are_those_of_training(bottleneck, gaussian_layers):
    l = torch.randn(2, 16, 3, 5, generator=torch.Generator().manual_seed(1))
    _, _, loss = gaussian_layers(l)
    found = [bottleneck.moments(x.permute(1, 2, 0).double().numpy()) for x in l]
    assert np.mean([m.divergence.mean() for m in found]) == pytest.approx(float(loss), rel=1e-5)
    clean = gaussian_layers.clean(l).permute(0, 2, 3, 1).numpy()
    assert np.allclose([bottleneck.expand(m.mean) for m in found], clean, atol=1e-5)


def test_samples_vary_as_the_moments_say():
    moments = gaussian.Moments(np.full((50, 50, 4), 2.0), np.full((50, 50, 4), np.log(0.25)))
    drawn = moments.sample(np.random.default_rng(3))
    assert drawn.mean() == pytest.approx(2.0, abs=0.03)
    assert drawn.std() == pytest.approx(0.5, abs=0.02)
    assert np.allclose(moments.divergence, 0.5 * (4 + 0.25 - 1 + np.log(4)))


class Flat:
    """A codec whose latents are white noise, or one vector in all places."""

    def __init__(self, same):
        self.same = same

    def analyse(self, pictures):
        generator = torch.Generator().manual_seed(pictures[0].width)
        l = torch.randn(1, 16, 4, 1 if self.same else 40, generator=generator)
        return l.expand(1, 16, 4, 40).numpy()

    def from_latents(self, l):
        return Image.new("RGB", (64, 64))


def test_neighbours_that_agree_are_told_from_noise(bottleneck):
    black = np.zeros((70, 100, 3), np.uint8)
    noise, same = (gaussian.measure(Flat(s), bottleneck, [black]) for s in (False, True))
    assert abs(noise["alike"]) < 0.2
    assert same["alike"] == pytest.approx(1.0)
    assert noise["psnr"] == noise["psnr_noise"] == np.inf


def test_the_command(gaussian_path, micro_path, make_picture, tmp_path, capsys):
    Image.fromarray(make_picture(170, 190)).save(tmp_path / "a.png")
    out = tmp_path / "normal.png"
    arguments = ["--images", str(tmp_path), "--out", str(out), "--device", "cpu", "--model"]
    assert gaussian.main([*arguments, str(gaussian_path)]) == 0
    told = dict(line.rsplit(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert float(told["bpp"]) == pytest.approx(float(told["nats"]) * 16 / np.log(2) / 256, abs=1e-3)
    assert float(told["psnr"]) > 0
    with Image.open(out) as figure:
        assert figure.size == (640, 528)
    codec = Codec.from_pretrained(gaussian_path, device="cpu")
    pixels = np.asarray(Image.open(tmp_path / "a.png"))[:128, :128]
    shown = np.asarray(codec.from_latents(codec.latents(pixels)), np.float64)
    error = np.square(shown - pixels).mean()
    assert float(told["psnr"]) == pytest.approx(10 * np.log10(255**2 / error), abs=0.01)
    with pytest.raises(SystemExit):
        gaussian.main([*arguments, str(micro_path)])
    assert "had no Gaussian bottleneck" in capsys.readouterr().err
