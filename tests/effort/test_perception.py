"""The network that an encoder looks through, and where its weights are."""

from __future__ import annotations

import pytest
import torch

from glc.effort import perception as module
from glc.effort.perception import Perception, installed
from glc.errors import WeightsError
from tests.perception import random_network


@pytest.fixture(scope="module")
def pictures():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(2, 3, 64, 96, generator=generator) * 2 - 1
    return x, (x + 0.2 * torch.randn(x.shape, generator=generator)).clamp(-1, 1)


@pytest.fixture(scope="module")
def network():
    return random_network()


def measure(network, x, x_hat, seen=None):
    seen = torch.ones_like(x[:, :1]) if seen is None else seen
    return network.distance(network.features(x), network.features(x_hat), seen)


def stored(network: Perception) -> dict[str, torch.Tensor]:
    """Return a network's convolutions under the names that torchvision gives them."""
    found = {"classifier.1.weight": torch.zeros(1)}
    for name, value in network.state_dict().items():
        part, _, kind = name.rpartition(".")
        if part == "conv":
            found[f"features.0.{kind}"] = value
        elif part.startswith("fires."):
            _, number, layer = part.split(".")
            theirs = {"squeeze": "squeeze", "expand_1": "expand1x1", "expand_3": "expand3x3"}
            index = module._INDICES[int(number)]
            found[f"features.{index}.{theirs[layer]}.{kind}"] = value
    return found


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty hub folder of torch."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    installed.cache_clear()
    yield tmp_path
    installed.cache_clear()


def test_without_the_trunk_the_message_says_how_it_gets_there(hub):
    with pytest.raises(WeightsError, match=r"squeezenet1_1\(weights='DEFAULT'\).*5 MB"):
        installed()


def test_without_the_heads_the_message_says_what_brings_them(hub, network, monkeypatch):
    (hub / "checkpoints").mkdir()
    torch.save(stored(network), hub / "checkpoints" / module._TRUNK_FILE)
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(WeightsError, match=r"lpips.*glc-codec\[effort\]"):
        installed()


def test_the_files_of_torchvision_and_lpips_are_read(hub, network, pictures):
    lpips = pytest.importorskip("lpips")
    (hub / "checkpoints").mkdir()
    torch.save(stored(network), hub / "checkpoints" / module._TRUNK_FILE)
    found = installed()
    heads = lpips.LPIPS(net="squeeze", pnet_rand=True, verbose=False).lins
    for head, theirs in zip(found.heads, heads, strict=True):
        assert torch.equal(head, theirs.model[1].weight.flatten())
    for mine, own in zip(found.fires.parameters(), network.fires.parameters(), strict=True):
        assert torch.equal(mine, own)
    assert torch.equal(found.conv.weight, network.conv.weight)


def test_it_is_lpips_as_published(hub, network, pictures):
    """On a trunk with these weights the package lpips says the same."""
    lpips = pytest.importorskip("lpips")
    theirs = lpips.LPIPS(net="squeeze", pnet_rand=True, verbose=False).eval()
    (hub / "checkpoints").mkdir()
    torch.save(stored(network), hub / "checkpoints" / module._TRUNK_FILE)
    mine = installed()
    convolutions = [m for m in theirs.net.modules() if isinstance(m, torch.nn.Conv2d)]
    own = [m for m in mine.modules() if isinstance(m, torch.nn.Conv2d)]
    with torch.no_grad():
        for a, b in zip(convolutions, own, strict=True):
            a.weight.copy_(b.weight)
            a.bias.copy_(b.bias)
        expected = theirs(*pictures).flatten()
    assert torch.allclose(measure(mine, *pictures), expected, rtol=1e-4)


def test_nothing_lies_between_a_picture_and_itself(network, pictures):
    x, x_hat = pictures
    assert measure(network, x, x).abs().max() < 1e-6
    assert (measure(network, x, x_hat) > 0.001).all()
    assert (measure(network, x, 0.5 * (x + x_hat)) < measure(network, x, x_hat)).all()


def test_what_is_not_seen_does_not_count_but_where_windows_reach(network, pictures):
    x, x_hat = pictures
    seen = torch.ones_like(x[:, :1])
    seen[..., 48:] = 0.0
    far = x.clone()
    # Only the widest windows see this far from where pixels count.
    far[..., 92:] = -far[..., 92:]
    assert (measure(network, x, far, seen) < 0.1 * measure(network, x, far)).all()


def test_gradients_are_finite_where_a_picture_is_flat(network):
    x = torch.zeros(1, 3, 64, 64)
    x_hat = torch.zeros(1, 3, 64, 64, requires_grad=True)
    measure(network, x, x_hat).sum().backward()
    assert torch.isfinite(x_hat.grad).all()
