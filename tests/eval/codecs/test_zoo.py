from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from eval.codecs import adapters, zoo
from eval.metrics.backbones import Unavailable
from eval.pictures import RGB, pixels


def test_without_the_package_it_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "compressai.zoo", None)
    with pytest.raises(Unavailable, match="needs the package compressai"):
        adapters.build("compressai:bmshj2018-hyperprior")


class TestWithCompressAI:
    @pytest.fixture(autouse=True)
    def package(self) -> None:
        pytest.importorskip("compressai.zoo", exc_type=ImportError)

    def test_random_weights_give_back_the_size(self, photo: RGB) -> None:
        codec = zoo.build("bmshj2018-hyperprior/random", "cpu")
        image = Image.fromarray(photo[:70, :130])
        data = codec.encode(image, 3)
        assert codec.decode(data).size == (130, 70)
        assert codec.encode(codec.decode(data), 3)[:6] == data[:6]
        assert pixels(codec.decode(data)).shape == (70, 130, 3)

    def test_absent_weights_are_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        with pytest.raises(Unavailable, match=r"bmshj2018-hyperprior.*\.pth\.tar"):
            zoo.build("bmshj2018-hyperprior", "cpu")

    def test_an_unknown_model_is_refused(self) -> None:
        with pytest.raises(ValueError, match="unknown CompressAI model"):
            zoo.build("jpeg9000", "cpu")
