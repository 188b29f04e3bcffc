"""A part of a model's qualities, made all of them."""

from __future__ import annotations

import copy
import dataclasses
import math

import pytest
import torch

from glc.networks.transforms import QualityGain
from glc.training.engine.quality_span import take_qualities
from glc.training.losses.rate_control import RateControl


@pytest.fixture
def model(make_model, micro_config):
    model = make_model(3, dataclasses.replace(micro_config, quality_anchors=6))
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for part in model.modules():
            if isinstance(part, QualityGain):
                part.log_gain.add_(0.2 * torch.randn(part.log_gain.shape, generator=generator))
    return model.eval()


def parts_of(model, quality):
    """Return what depends on a quality: every gain, and the bias of the scale map."""
    chosen = torch.tensor([quality])
    gains = [part(chosen) for part in model.modules() if isinstance(part, QualityGain)]
    bias = model.scale_map._quality_bias(model.scale_map.bias, chosen)
    return [*gains, bias]


@pytest.mark.parametrize(
    ("qualities", "pairs"),
    [
        ((40, 100), {0: 40, 100: 100}),
        ((20, 70), {0: 20, 20: 30, 40: 40, 60: 50, 80: 60, 100: 70}),
        ((0, 100), {quality: quality for quality in range(101)}),
        ((0, 4, 8, 20, 60, 100), {0: 0, 20: 4, 40: 8, 60: 20, 80: 60, 100: 100}),
    ],
)
def test_anchors_are_what_the_model_was_there(model, qualities, pairs):
    before = copy.deepcopy(model)
    take_qualities(model, torch.zeros(model.config.quality_anchors), qualities)
    for after, earlier in pairs.items():
        found, wanted = parts_of(model, after), parts_of(before, earlier)
        assert len(found) > 3
        for one, other in zip(found, wanted, strict=True):
            torch.testing.assert_close(one, other)


def test_pictures_and_bits_are_those_of_the_old_quality(model):
    before = copy.deepcopy(model)
    take_qualities(model, torch.zeros(model.config.quality_anchors), (40, 100))
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    l = model.encoder(x)
    y = model.analysis(l, torch.tensor([0]))
    torch.testing.assert_close(y, before.analysis(l, torch.tensor([40])))
    assert not torch.allclose(y, before.analysis(l, torch.tensor([0])), atol=1e-3)


def test_rate_weights_come_along(model):
    rate = RateControl(6, 0.01, 0.2)
    rate.begin_between(640.0, 5.0)
    found = take_qualities(model, rate.log_weight, (50, 100))
    assert found[-1].exp().item() == pytest.approx(5.0)
    assert found[0].exp().item() == pytest.approx(math.sqrt(640.0 * 5.0))


@pytest.mark.parametrize("qualities", [(3,), (1, 2, 3), (40, 40), (100, 0), (-1, 50), (0, 101)])
def test_other_qualities_are_refused(model, qualities):
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match="--init-qualities"):
        take_qualities(model, torch.zeros(6), qualities)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
