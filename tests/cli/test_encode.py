"""``glc encode``: names, targets, JSON, notices, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from glc.bitstream import unpack
from glc.effort import levels
from glc.errors import CorruptError


def test_output_is_beside_the_input(glc, picture, tmp_path):
    picture("a.png")
    result = glc("encode", "a.png")
    assert result.code == 0
    assert result.out == ""
    assert len(result.err_lines) == 1
    assert result.err.startswith("a.png -> a.glc  ")
    container = unpack((tmp_path / "a.glc").read_bytes())
    assert (container.width, container.height, container.quality) == (8, 6, 50)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.glc", "a.png"]


def test_quality_model_and_device_reach_the_codec(glc, fake_codec, picture, tmp_path):
    picture("a.png")
    assert glc("encode", "a.png", "-q", "7", "--model", "m", "--device", "cpu").code == 0
    assert fake_codec.opened == [("m", "cpu")]
    assert unpack((tmp_path / "a.glc").read_bytes()).quality == 7


def test_the_effort_reaches_the_codec_and_needs_torch(glc, fake_codec, picture, monkeypatch):
    picture("a.png")
    assert glc("encode", "a.png", "--effort", "4").code == 0
    assert glc("encode", "a.png", "-f", "--target-size", "500", "--effort", "2").code == 0
    assert glc("encode", "a.png", "-f").code == 0
    assert (fake_codec.efforts[0], fake_codec.efforts[1], fake_codec.efforts[-1]) == (4, 2, 0)
    assert glc("encode", "a.png", "-f", "--effort", "10").code == 2
    monkeypatch.setattr(levels, "find_spec", lambda name: None)
    result = glc("encode", "a.png", "-f", "--effort", "1")
    assert result.code == 2
    assert "pip install 'glc-codec[effort]'" in result.err


@pytest.mark.parametrize("rate", [(), ("--target-size", "500")])
def test_mean_colors_reach_the_codec(glc, picture, rate):
    picture("a.png")
    assert glc("encode", "a.png", *rate).code == 0
    assert not unpack(Path("a.glc").read_bytes()).chunks
    assert glc("encode", "a.png", "-f", "--mean-colors", *rate).code == 0
    assert [chunk.tag for chunk in unpack(Path("a.glc").read_bytes()).chunks] == ["c"]
    assert "mean colours" in glc("info", "a.glc").out


def test_json_is_one_object_per_file(glc, picture):
    picture("a.png")
    picture("b.png", width=9)
    (bad := picture("c.png")).write_bytes(b"no picture")
    result = glc("encode", "a.png", "b.png", bad.name, "--json", "-q", "3")
    assert result.code == 1
    records = [json.loads(line) for line in result.out.splitlines()]
    assert len(records) == 3
    first = records[0]
    size = Path("a.glc").stat().st_size
    assert first["input"] == "a.png"
    assert first["output"] == "a.glc"
    assert (first["width"], first["height"], first["quality"]) == (8, 6, 3)
    assert first["bytes"] == size
    assert first["bpp"] == pytest.approx(8 * size / 48)
    assert first["seconds"] >= 0
    assert "not a picture" in records[2]["error"]
    assert records[2]["input"] == "c.png"
    assert len(result.err_lines) == 1


def test_target_size_and_rate(glc, picture):
    picture("a.png", width=40, height=40)
    assert glc("encode", "a.png", "--target-size", "4870").code == 0
    assert 4860 < Path("a.glc").stat().st_size <= 4870
    assert glc("encode", "a.png", "-f", "--target-bpp", "24.3").code == 0
    assert Path("a.glc").stat().st_size == int(24.3 * 1600 / 8)
    result = glc("encode", "a.png", "-f", "--target-size", "10")
    assert result.code == 1
    assert result.err.startswith("glc encode: a.png: ")
    assert len(result.err_lines) == 1


def test_notices_are_lines_unless_quiet(glc, picture):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    frames[0].save("a.gif", save_all=True, append_images=frames[1:])
    assert "a.gif: note: 2 frames" in glc("encode", "a.gif").err
    assert glc("encode", "a.gif", "-f", "--quiet").err == ""
    record = json.loads(glc("encode", "a.gif", "-f", "--quiet", "--json").out)
    assert "2 frames" in record["notices"][0]


def test_metadata_is_stripped_unless_kept(glc, picture, tmp_path):
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    picture("a.png", exif=exif)
    glc("encode", "a.png")
    assert unpack((tmp_path / "a.glc").read_bytes()).chunks == ()
    glc("encode", "a.png", "-f", "--keep-metadata")
    glc("decode", "a.glc", "-o", "b.png")
    with Image.open("b.png") as image:
        assert image.getexif()[0x010F] == "Maker"


def test_existing_outputs_are_refused_replaced_or_skipped(glc, picture, tmp_path):
    picture("a.png")
    picture("b.png")
    (tmp_path / "a.glc").write_bytes(b"precious")
    result = glc("encode", "a.png", "b.png")
    assert result.code == 1
    assert result.err_lines[0] == "glc encode: a.png: a.glc exists; -f replaces it"
    assert (tmp_path / "a.glc").read_bytes() == b"precious"
    assert (tmp_path / "b.glc").exists()
    assert glc("encode", "a.png", "-f").code == 0
    assert (tmp_path / "a.glc").read_bytes() != b"precious"
    result = glc("encode", "a.png", "b.png", "--skip-existing", "--json")
    assert result.code == 0
    assert all(json.loads(line)["skipped"] for line in result.out.splitlines())


@pytest.mark.parametrize("link", [Path.hardlink_to, Path.symlink_to])
def test_an_input_is_never_overwritten(glc, picture, link):
    path = picture("a.glc")
    original = path.read_bytes()
    assert "is an input" in glc("encode", "a.glc", "-o", "a.glc", "-f").err
    link(Path("b.png"), path)
    assert "is an input" in glc("encode", "b.png", "-o", "a.glc", "-f").err
    picture("b.glc")
    assert "b.glc: its output b.png is an input" in glc("decode", "b.glc", "b.png", "-f").err
    assert path.read_bytes() == original


def test_two_inputs_cannot_share_an_output(glc, picture):
    picture("a.png")
    picture("a.jpg")
    result = glc("encode", "a.png", "a.jpg")
    assert result.code == 1
    assert result.err.count("is also that of a.png") == 1
    assert Path("a.glc").exists()


def test_one_bad_file_does_not_stop_the_rest(glc, picture):
    for name in ("a.png", "c.png"):
        picture(name)
    picture("bug.png", width=11)
    picture("cut.png").write_bytes(picture("b.png").read_bytes()[:60])
    for jobs in ("1", "4"):
        result = glc(
            *("encode", "none.png", "cut.png", "bug.png", "a.png", "c.png", "-f", "-j", jobs)
        )
        assert result.code == 1
        lines = sorted(line for line in result.err_lines if line.startswith("glc encode: "))
        assert [line.split(": ")[1] for line in lines] == ["bug.png", "cut.png", "none.png"]
        assert "a fault in glc (KeyError: 'a bug'); please report it" in lines[0]
        assert "Traceback" not in result.err
        for name in ("a.glc", "c.glc"):
            assert Path(name).exists()
            Path(name).unlink()


def test_many_threads_give_the_same_files(glc, picture):
    for k in range(20):
        picture(f"in/{k:02}.png", width=20 + k)
    assert glc("encode", "in", "-o", "one").code == 0
    assert glc("encode", "in", "-o", "eight", "-j", "8").code == 0
    for k in range(20):
        name = f"{k:02}.glc"
        assert Path("one", name).read_bytes() == Path("eight", name).read_bytes()


def test_missing_weights_are_one_line(glc, picture):
    picture("a.png")
    result = glc("encode", "a.png", "--model", "missing", "--json")
    assert result.code == 1
    assert result.err == "glc encode: no model called 'missing'; installed: fake\n"
    assert json.loads(result.out) == {"error": "no model called 'missing'; installed: fake"}


def test_names_cannot_break_a_line(glc, picture):
    picture("a\nb\x1b.png")
    result = glc("encode", "a\nb\x1b.png")
    assert result.code == 0
    assert result.err.startswith("a\\nb\\x1b.png -> ")
    assert len(result.err_lines) == 1


def test_verify_checks_what_is_on_the_disk(glc, fake_codec, picture, monkeypatch):
    picture("a.png")
    record = json.loads(glc("encode", "a.png", "--verify", "--json").out)
    assert record["verified"] is True

    def fail(self, data):
        raise CorruptError("bad disk")

    monkeypatch.setattr(fake_codec, "verify", fail)
    result = glc("encode", "a.png", "--verify", "-o", "b.glc")
    assert result.code == 1
    assert result.err == "glc encode: a.png: bad disk\n"
    assert sorted(p.name for p in Path().iterdir()) == ["a.glc", "a.png"]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["a.png", "-q", "101"],
        ["a.png", "-q", "-1"],
        ["a.png", "-q", "4.5"],
        ["a.png", "--target-bpp", "nan"],
        ["a.png", "--target-bpp", "0"],
        ["a.png", "--target-size", "0"],
        ["a.png", "-q", "4", "--target-size", "100"],
        ["a.png", "-f", "--skip-existing"],
        ["a.png", "b.png", "-o", "c.glc"],
        ["a.png", "b.png", "-o", "a.png"],
        ["a.png", "b.png", "-o", "-"],
        ["a.png", "-o", "-", "--json"],
        ["-", "--json"],
        ["-", "-"],
        ["a.png", "-j", "0"],
        ["a.png", "--device", "tpu"],
        ["a.png", "--nonsense"],
    ],
)
def test_wrong_usage_is_one_line_and_code_2(glc, picture, arguments):
    picture("a.png")
    picture("b.png")
    result = glc("encode", *arguments)
    assert result.code == 2
    assert len(result.err_lines) == 1
    assert result.err.startswith("glc encode: ")
    assert not Path("a.glc").exists()


@pytest.mark.parametrize("name", ["-dash.png", "--", "--help.png", "-q", "-5.png"])
def test_what_stands_after_two_dashes_is_a_name(glc, picture, name):
    picture(name)
    out = "out/"
    assert glc("encode", "-o", out, "--", name).code == 0
    (coded,) = Path("out").iterdir()
    Path(coded.name).write_bytes(coded.read_bytes())
    for command in ("info", "verify", "decode"):
        options = ("-o", "again.png") if command == "decode" else ()
        assert glc(command, *options, "--", coded.name).code == 0
    picture("a.png")
    assert glc("encode", "a.png", "-f", "-o", out, "--quiet", "--", name).code == 0
    assert sorted(p.name for p in Path("out").iterdir()) == sorted(["a.glc", coded.name])


def test_an_option_does_not_reach_over_two_dashes(glc, picture):
    picture("-b.png")
    result = glc("encode", "-o", "--", "-b.png")
    assert result.code == 2
    assert "\0" not in result.err
    result = glc("models", "--", "-b.png")
    assert (result.code, "unrecognized arguments: -b.png" in result.err) == (2, True)


@pytest.mark.parametrize("quality", ["40", "40.0", "040", "40."])
def test_whole_numbers_are_qualities_however_they_are_written(glc, picture, quality):
    picture("a.png")
    assert glc("encode", "a.png", "-q", quality).code == 0
    assert unpack(Path("a.glc").read_bytes()).quality == 40


def test_a_file_that_two_names_lead_to_is_done_once(glc, picture):
    picture("in/a/x.png")
    Path("in/b").symlink_to("a")
    result = glc("encode", "-r", "in")
    assert result.code == 0
    assert "in/b/x.png -> in/b/x.glc  skipped: the same file as in/a/x.png" in result.err
    # In a folder of their own both are wanted.
    assert glc("encode", "-r", "in", "-o", "out/").code == 0
    assert Path("out/a/x.glc").read_bytes() == Path("out/b/x.glc").read_bytes()


def test_a_circle_of_links_is_noted(glc, picture):
    picture("in/a.png")
    Path("in/up").symlink_to(".")
    result = glc("encode", "-r", "in")
    assert result.code == 0
    assert result.err_lines[0] == (
        "glc encode: in/up: note: left out: it leads back to a folder above it"
    )


@pytest.mark.parametrize("command", ["encode", "decode"])
def test_force_keeps_permissions_and_links(glc, picture, command):
    picture("a.png")
    assert glc("encode", "a.png").code == 0
    source, target = ("a.png", Path("a.glc")) if command == "encode" else ("a.glc", Path("b.png"))
    if command == "decode":
        assert glc("decode", "a.glc", "-o", "b.png").code == 0
    target.chmod(0o600)
    link = Path("link" + target.suffix)
    link.symlink_to(target)
    before = target.read_bytes()
    target.write_bytes(b"old")
    assert glc(command, source, "-f", "-o", str(link)).code == 0
    assert link.is_symlink()
    assert target.read_bytes() == before
    assert target.stat().st_mode & 0o777 == 0o600


def test_options_may_stand_between_inputs(glc, picture):
    picture("a.png")
    picture("-b.png")
    assert glc("encode", "a.png", "-q", "5", "--", "-b.png").code == 0
    assert Path("-b.glc").exists()
    picture("c.png")
    assert glc("encode", "-f", "a.png", "-q", "5", "c.png").code == 0
    assert Path("c.glc").exists()
