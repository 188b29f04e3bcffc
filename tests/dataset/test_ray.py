"""Batch functions: what they return for good and bad rows, and that Ray keeps every row once."""

from __future__ import annotations

import io
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glc.bitstream import unpack
from glc.dataset import GlcDecoder, GlcEncoder
from glc.errors import WeightsError
from glc.install_hint import install_command
from glc.weights.registry import MODELS_VARIABLE

ROOT = Path(__file__).parents[2]


def png(picture: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def encoder(micro_path) -> GlcEncoder:
    return GlcEncoder(40, "cpu", micro_path)


class TestEncoder:
    def test_rows_and_columns(self, encoder, micro, make_picture):
        pictures = [make_picture(40, 70, 1), make_picture(20, 20, 2), make_picture(9, 9, 3, 1)]
        batch = {"image": pictures, "label": [3, 4, 5], "path": ["a.png", "b.png", "c.png"]}
        rows = encoder(batch)
        assert set(rows) == {"label", "path", "glc", "width", "height", "bpp", "key", "error"}
        assert rows["glc"] == [micro.encode(picture, 40) for picture in pictures]
        assert (rows["width"], rows["height"]) == ([70, 20, 9], [40, 20, 9])
        assert rows["key"] == ["a.png", "b.png", "c.png"]
        assert rows["label"] == [3, 4, 5]
        assert rows["error"] == [""] * 3
        assert rows["bpp"][1] == 8 * len(rows["glc"][1]) / 400

    @pytest.mark.parametrize(
        "kind", ["array", "stacked", "bytes", "path", "image", "dict", "column"]
    )
    def test_every_kind_of_picture(self, encoder, micro, make_picture, tmp_path, kind):
        picture = make_picture(30, 30)
        (tmp_path / "a.png").write_bytes(png(picture))
        batch = {
            "array": {"image": [picture]},
            "stacked": {"image": picture[None]},
            "bytes": {"bytes": np.array([png(picture)], object)},
            "path": {"image": [str(tmp_path / "a.png")]},
            "image": {"image": [Image.fromarray(picture)]},
            "dict": {"image": [{"bytes": png(picture), "path": None}]},
            "column": {"photo": [picture], "image": [None]},
        }[kind]
        encoder.column = "photo" if kind == "column" else None
        rows = encoder(batch)
        assert rows["error"] == [""]
        assert rows["glc"] == [micro.encode(picture, 40)]
        assert rows["key"] == [""]

    def test_a_grey_tensor_column(self, encoder, make_picture):
        (data,) = encoder({"image": make_picture(30, 30, 1, 1)[None, :, :, None]})["glc"]
        assert [chunk.tag for chunk in unpack(data).chunks] == ["g"]

    def test_errors_are_data(self, encoder, make_picture):
        bad = [b"no picture", None, np.zeros((4, 4)), "/gone.png", np.zeros((0, 5, 3), np.uint8)]
        rows = encoder({"image": [make_picture(9, 9), *bad], "key": list("abcdef")})
        assert rows["error"][0] == ""
        assert all(rows["error"][1:])
        assert rows["glc"][1:] == [b""] * 5
        assert rows["width"][1:] == [0] * 5
        assert rows["bpp"][1:] == [0.0] * 5
        assert rows["key"] == list("abcdef")

    def test_wrong_calls(self, encoder, micro_path):
        with pytest.raises(ValueError, match="expected a column"):
            encoder({"pixels": []})
        with pytest.raises(ValueError, match="quality"):
            GlcEncoder(101, model=micro_path)
        with pytest.raises(WeightsError, match="gone"):
            GlcEncoder(model="gone")
        encoder.key = "name"
        with pytest.raises(ValueError, match="'name'"):
            encoder({"image": []})

    @pytest.mark.system
    def test_it_travels_light_and_imports_torch_late(self, encoder, micro_path):
        encoder({"image": [np.zeros((9, 9, 3), np.uint8)]})
        assert len(pickle.dumps(encoder)) < 1000
        code = """
import pickle, sys
from glc.dataset import GlcDecoder, GlcEncoder
pickle.loads(pickle.dumps((GlcEncoder(model=sys.argv[1]), GlcDecoder())))
print(sorted({"torch", "ray"} & set(sys.modules)))
"""
        command = [sys.executable, "-c", code, str(micro_path)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"

    def test_every_machine_uses_the_same_weights(
        self, tmp_path, make_model, export_model, make_picture, monkeypatch
    ):
        path = tmp_path / "here" / "mine.safetensors"
        identity = export_model(path, make_model(11), "mine")
        encoder = GlcEncoder(40, "cpu", path)
        export_model(path, make_model(12), "mine")
        batch = {"image": [make_picture(9, 9)]}
        with pytest.raises(WeightsError, match=f"expected the model {identity[:3].hex()}"):
            encoder(batch)
        elsewhere = tmp_path / "there"
        export_model(elsewhere / "other-name.safetensors", make_model(11), "mine")
        monkeypatch.setenv(MODELS_VARIABLE, str(elsewhere))
        assert unpack(encoder(batch)["glc"][0]).model == identity[:3]


class TestDecoder:
    @pytest.mark.parametrize("output", ["image", "latent"])
    def test_rows(self, encoder, micro_path, micro, make_picture, output):
        rows = encoder({"image": [make_picture(40, 70), make_picture(20, 20)], "label": [1, 2]})
        rows["glc"].append(b"damaged")
        decoded = GlcDecoder(output, "cpu", micro_path)(rows)
        assert "glc" not in decoded
        assert decoded["label"] == [1, 2]
        assert decoded["error"][:2] == ["", ""]
        assert decoded["error"][2]
        shapes = [value.shape for value in decoded[output]]
        if output == "image":
            assert shapes == [(40, 70, 3), (20, 20, 3), (0, 0, 3)]
            expected = np.asarray(micro.decode(rows["glc"][1])).astype(int)
            assert np.abs(decoded["image"][1] - expected).max() <= 1
        else:
            assert shapes == [(16, 3, 5), (16, 2, 2), (0, 0, 0)]

    def test_wrong_calls(self):
        with pytest.raises(ValueError, match="output"):
            GlcDecoder("pixels")
        with pytest.raises(ValueError, match="expected a column 'glc'"):
            GlcDecoder()({"image": []})


def test_hugging_face_datasets_map(encoder, micro, make_picture):
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    pictures = [make_picture(20, 20, n) for n in range(5)]
    table = datasets.Dataset.from_dict({"bytes": [png(p) for p in pictures], "label": range(5)})
    coded = table.map(encoder, batched=True, batch_size=2, remove_columns=["bytes"])
    assert [row["glc"] for row in coded] == [micro.encode(picture, 40) for picture in pictures]
    assert coded["label"] == list(range(5))


class MortalEncoder(GlcEncoder):
    """Its process is killed when it meets row 17, once."""

    def __init__(self, grave: str, *arguments: object) -> None:
        super().__init__(*arguments)
        self.grave = Path(grave)

    def __call__(self, batch):
        rows = super().__call__(batch)
        if "17" in rows["key"] and not self.grave.exists():
            self.grave.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return rows


def test_ray_with_a_worker_that_is_killed(micro_path, make_picture, tmp_path, monkeypatch):
    """Two workers, one of them killed: every row comes out once, as if nothing had happened."""
    ray = pytest.importorskip("ray", reason=f"ray is not installed: {install_command('ray')}")
    pytest.importorskip("ray.data", reason=f"ray has no data part here: {install_command('ray')}")
    # Workers import glc, and this module, from where the tests do.
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    # At the 15 of Ray's default they hardly ever run where a test suite has the machine busy.
    monkeypatch.setenv("RAY_worker_niceness", "0")
    count, grave = 48, tmp_path / "grave"
    pictures = [make_picture(20 + number % 3, 30, number) for number in range(count)]
    rows = [{"bytes": png(picture), "key": str(n)} for n, picture in enumerate(pictures)]
    rows.append({"bytes": b"no picture", "key": "bad"})
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        object_store_memory=100 << 20,
    )
    try:
        ray.data.DataContext.get_current().enable_progress_bars = False
        coded = ray.data.from_items(rows).map_batches(
            MortalEncoder,
            fn_constructor_args=(str(grave), 40, "cpu", str(micro_path)),
            batch_size=6,
            concurrency=2,
        )
        found = coded.take_all()
    finally:
        ray.shutdown()
    assert grave.exists()
    assert sorted(row["key"] for row in found) == sorted(row["key"] for row in rows)
    good = {int(row["key"]): row for row in found if not row["error"]}
    assert sorted(good) == list(range(count))
    expected = GlcEncoder(40, "cpu", micro_path)({"image": pictures})
    assert [good[n]["height"] for n in range(count)] == expected["height"]
    decode = GlcDecoder("image", "cpu", micro_path)
    pixels = decode({"glc": [good[n]["glc"] for n in range(count)]})["image"]
    reference = decode({"glc": expected["glc"]})["image"]
    # Batches of other pictures may round differently, which shows as a step of one symbol at most.
    differences = [np.abs(a.astype(int) - b).mean() for a, b in zip(pixels, reference, strict=True)]
    assert max(differences) < 3
