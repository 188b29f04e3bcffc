"""Every message of the command line, word for word: what is wrong, and what to do.

One shape for all of them: the program, the file as the user named it (once, and never by a
temporary name), what is wrong, what to do about it. Who changes a message changes it here, too.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from glc.bitstream import Container, pack
from glc.weights import registry


@pytest.fixture
def world(glc, picture, tmp_path, monkeypatch):
    """Files of every kind that a message speaks of."""
    for name in ("a.png", "b.png", "in/a.png", "loop/a.png"):
        picture(name)
    picture("bug.png", width=11)
    assert glc("encode", "a.png").code == 0
    data = Path("a.glc").read_bytes()
    other = pack(Container(8, 6, 50, b"abc", b""))
    for name, content in {
        "cut.png": Path("a.png").read_bytes()[:60],
        "empty.png": b"",
        "text.png": b"not a picture",
        "cut.glc": data[:20],
        "longer.glc": data + b"x",
        "flipped.glc": data[:60] + bytes((data[60] ^ 1,)) + data[61:],
        "newer.glc": b"\x67\xc3" + data[2:],
        "other.glc": other,
        "empty.glc": b"",
        "png.glc": Path("a.png").read_bytes(),
        "jpeg.glc": b"\xff\xd8\xff\xe0" + bytes(20),
        "page.glc": b"<!DOCTYPE html><title>404 Not Found</title>",
        "noise.glc": b"\xf3\x01\x02\x03",
        "archive.glc": b"glca\x01\x02" + bytes(36),
        "junk.glca": b"not an archive",
        "pets.safetensors": b"",
    }.items():
        Path(name).write_bytes(content)
    for folder in ("none", "out/a.glc"):
        Path(folder).mkdir(parents=True)
    Path("gone.png").symlink_to("nowhere.png")
    Path("circle.png").symlink_to("circle.png")
    Path("gone.glc").symlink_to("nowhere.glc")
    Path("loop/up").symlink_to(".")
    picture("-dash.png")
    monkeypatch.setenv("GLC_MODELS", "")
    # Whatever is shipped, or is not.
    only = registry.ModelInfo("fake", Path("fake.safetensors"), bytes(range(32)), 1, 2, True, "")
    monkeypatch.setattr(registry, "installed", lambda: [only])


MESSAGES: dict[str, tuple[int, str]] = {
    "": (
        2,
        "glc: no command given; expected one of encode, decode, info, verify, sample, "
        "pack, unpack, list, models, export, web, train, finetune, eval; see glc --help",
    ),
    "enc a.png": (
        2,
        "glc: no command 'enc'; expected one of encode, decode, info, verify, sample, "
        "pack, unpack, list, models, export, web, train, finetune, eval; see glc --help",
    ),
    "encode": (
        2,
        "glc encode: the following arguments are required: IN; see glc encode --help",
    ),
    "encode a.png -q 101": (
        2,
        "glc encode: argument -q/--quality: expected a whole number 0 to 100, found "
        "'101'; see glc encode --help",
    ),
    "encode a.png -q 4.5": (
        2,
        "glc encode: argument -q/--quality: expected a whole number 0 to 100, found "
        "'4.5'; see glc encode --help",
    ),
    "encode a.png -q": (
        2,
        "glc encode: argument -q/--quality: expected one argument; see glc encode --help",
    ),
    "encode a.png --target-bpp 0": (
        2,
        "glc encode: argument --target-bpp: expected bits per pixel above 0, found "
        "'0'; see glc encode --help",
    ),
    "encode a.png --target-size 0": (
        2,
        "glc encode: argument --target-size: expected a number of bytes, found '0'; "
        "see glc encode --help",
    ),
    "encode a.png -q 50 --target-size 400": (
        2,
        "glc encode: argument --target-size: not allowed with argument -q/--quality; "
        "see glc encode --help",
    ),
    "encode a.png -q 51 --target-size 400": (
        2,
        "glc encode: argument --target-size: not allowed with argument -q/--quality; "
        "see glc encode --help",
    ),
    "encode a.png --target-bpp 1 -q 50": (
        2,
        "glc encode: argument -q/--quality: not allowed with argument --target-bpp; "
        "see glc encode --help",
    ),
    "encode a.png -f --skip-existing": (
        2,
        "glc encode: argument --skip-existing: not allowed with argument -f/--force; "
        "see glc encode --help",
    ),
    "encode - -": (
        2,
        "glc encode: standard input (-) can be read only once; see glc encode --help",
    ),
    "encode a.png b.png -o -": (
        2,
        "glc encode: -o - takes a single input file; see glc encode --help",
    ),
    "encode a.png b.png -o a.png": (
        2,
        "glc encode: -o a.png: is a file, and there are several inputs; name a folder; "
        "see glc encode --help",
    ),
    "encode a.png b.png -o c.glc": (
        2,
        "glc encode: -o c.glc: there are several inputs; name a folder, with / at its "
        "end; see glc encode --help",
    ),
    "encode a.png -o - --json": (
        2,
        "glc encode: --json and a picture on standard output (-) exclude each other; "
        "see glc encode --help",
    ),
    "encode a.png -j 0": (
        2,
        "glc encode: argument -j/--jobs: expected a number of 1 or more, found '0'; "
        "see glc encode --help",
    ),
    "encode a.png --tile 3": (
        2,
        "glc encode: argument --tile: expected 0 or a number of 64 or more, found '3'; "
        "see glc encode --help",
    ),
    "encode a.png --device tpu": (
        2,
        "glc encode: argument --device: invalid choice: tpu (choose from auto, "
        "cpu, cuda, mps); see glc encode --help",
    ),
    "encode a.png --nonsense": (
        2,
        "glc encode: unrecognized arguments: --nonsense; see glc encode --help",
    ),
    "encode -dash.png": (
        2,
        "glc encode: the following arguments are required: IN; for the file -dash.png "
        "write ./-dash.png; see glc encode --help",
    ),
    "encode a.png -o -x.glc": (
        2,
        "glc encode: argument -o/--output: expected one argument; for the file -x.glc "
        "write ./-x.glc; see glc encode --help",
    ),
    "encode a.png -o c.png": (
        2,
        "glc encode: -o c.png: a .glc file is written, and .png says something else; "
        "name it c.glc; see glc encode --help",
    ),
    "encode a.png -o c.JPG": (
        2,
        "glc encode: -o c.JPG: a .glc file is written, and .jpg says something else; "
        "name it c.glc; see glc encode --help",
    ),
    "encode a.png -o c.glca": (
        2,
        "glc encode: -o c.glca: a .glc file is written, and .glca says something else; "
        "name it c.glc; see glc encode --help",
    ),
    "encode a.png --max-pixels 0": (
        2,
        "glc encode: argument --max-pixels: expected a number of 1 or more, found '0'; "
        "see glc encode --help",
    ),
    "encode missing.png": (
        1,
        "glc encode: missing.png: no such file",
    ),
    "encode gone.png": (
        1,
        "glc encode: gone.png: it is a link to nowhere.png, which does not exist",
    ),
    "encode circle.png": (
        1,
        "glc encode: circle.png: it is a link that leads back to itself",
    ),
    "encode text.png": (
        1,
        "glc encode: text.png: text, not a picture",
    ),
    "encode empty.png -o new.glc": (
        1,
        "glc encode: empty.png: empty; copy or download it again",
    ),
    "encode cut.png -o new.glc": (
        1,
        "glc encode: cut.png: cannot be read: image file is truncated",
    ),
    "encode a.glc": (
        1,
        "glc encode: a.glc: a .glc file already; decode it first",
    ),
    "encode a.png/b.png": (
        1,
        "glc encode: a.png/b.png: no such file",
    ),
    "encode none": (
        1,
        "glc encode: none: no file to read in this folder; -r also looks into its folders",
    ),
    "encode *.nothing": (
        1,
        "glc encode: *.nothing: no file matches this pattern",
    ),
    "encode out": (
        1,
        "glc encode: out: no file to read in this folder; -r also looks into its folders",
    ),
    "encode a.png": (
        1,
        "glc encode: a.png: a.glc exists; -f replaces it",
    ),
    "encode bug.png": (
        1,
        "glc encode: bug.png: a fault in glc (KeyError: 'a bug'); please report it, "
        "with what GLC_TRACEBACK=1 in the environment shows",
    ),
    "encode b.png -o gone.glc": (
        1,
        "glc encode: b.png: gone.glc is a link to nowhere.glc, which does not exist; -f writes it",
    ),
    "encode a.png -o out": (
        1,
        "glc encode: a.png: its output out/a.glc is a folder; name another with -o",
    ),
    "encode a.png a.glc -f": (
        1,
        "glc encode: a.png: its output a.glc is an input; name another with -o\n"
        "glc encode: a.glc: a .glc file already; decode it first",
    ),
    "encode a.png in/a.png -o new/ --quiet": (
        1,
        "glc encode: in/a.png: its output new/a.glc is also that of a.png; do one of "
        "them by itself",
    ),
    "encode b.png -o a.png/c.glc": (
        1,
        "glc encode: b.png: a.png/c.glc cannot be written: a.png is a file, not a folder",
    ),
    "encode b.png -o a.glc -f --model missing": (
        1,
        "glc encode: no model called 'missing'; installed: fake",
    ),
    "encode b.png -o png.glc --skip-existing": (
        1,
        "glc encode: b.png: png.glc exists, but: this is a PNG picture, not a .glc "
        "file; -f replaces it",
    ),
    "encode b.png --target-size 9": (
        1,
        "glc encode: b.png: quality 0 takes 158 bytes; 9 are not enough",
    ),
    "encode -r loop -o new/ -f --quiet": (
        0,
        "",
    ),
    "decode a.glc -o y.xyz": (
        2,
        "glc decode: -o y.xyz: no format for .xyz; expected .png, .jpg or .webp, or "
        "--format; see glc decode --help",
    ),
    "decode a.glc -o y.gif --format png": (
        2,
        "glc decode: -o y.gif: a png file is written, and .gif says something else; "
        "name it y.png; see glc decode --help",
    ),
    "decode a.glc -o y.jpg --format png": (
        2,
        "glc decode: -o y.jpg: contradicts --format png; name it y.png; see glc decode --help",
    ),
    "decode a.glc --preview --partial": (
        2,
        "glc decode: argument --partial: not allowed with argument --preview; "
        "see glc decode --help",
    ),
    "decode a.glc --realism 101": (
        2,
        "glc decode: argument --realism: expected a whole number 0 to 100, found '101'; "
        "see glc decode --help",
    ),
    "decode png.glc": (
        1,
        "glc decode: png.glc: this is a PNG picture, not a .glc file; glc encode makes one of it",
    ),
    "decode jpeg.glc": (
        1,
        "glc decode: jpeg.glc: this is a JPEG picture, not a .glc file; glc encode makes one of it",
    ),
    "decode page.glc": (
        1,
        "glc decode: page.glc: this is a web page, not a .glc file",
    ),
    "decode text.png": (
        1,
        "glc decode: text.png: this is text, not a .glc file",
    ),
    "decode noise.glc": (
        1,
        "glc decode: noise.glc: this is not a .glc file",
    ),
    "decode archive.glc": (
        1,
        "glc decode: archive.glc: this is a .glca archive, not a .glc file; glc unpack "
        "takes such files out of it",
    ),
    "decode empty.glc -o new.png": (
        1,
        "glc decode: empty.glc: the file is empty; copy or download it again",
    ),
    "decode cut.glc -o new.png": (
        1,
        "glc decode: cut.glc: payload: expected 194 bytes at offset 10, found 10; the "
        "file is incomplete, copy or download it again",
    ),
    "decode longer.glc": (
        1,
        "glc decode: longer.glc: end of file: expected at offset 208, found 1 more "
        "bytes; the file is damaged or something was appended to it",
    ),
    "decode flipped.glc": (
        1,
        "glc decode: flipped.glc: checksum does not match; the file is damaged",
    ),
    "decode newer.glc": (
        1,
        "glc decode: newer.glc: format version: expected 1 or 2, found 3; a newer "
        "release of glc may read this file",
    ),
    "decode other.glc": (
        1,
        "glc decode: other.glc: model 616263 is not installed; installed: fake",
    ),
    "decode a.glc": (
        1,
        "glc decode: a.glc: a.png exists; -f replaces it",
    ),
    "decode a.glc -f --max-pixels 40": (
        1,
        "glc decode: a.glc: picture size: expected at most 40 pixels, found 8 x 6; "
        "raise Limits.max_pixels (--max-pixels) if you trust it",
    ),
    "decode empty.glc --preview -o new.png": (
        1,
        "glc decode: empty.glc: header: expected 9 to 18 bytes, found 0; nothing can "
        "be shown of it yet",
    ),
    "decode missing.glc": (
        1,
        "glc decode: missing.glc: no such file",
    ),
    "decode a.glc -f --model missing": (
        1,
        "glc decode: no model called 'missing'; installed: fake",
    ),
    "info a.glc -q 50": (
        2,
        "glc info: --quality is for --heatmap; name its output, or leave it out; see "
        "glc info --help",
    ),
    "info a.glc -f": (
        2,
        "glc info: --force is for --heatmap; name its output, or leave it out; see glc info --help",
    ),
    "info a.glc --model m": (
        2,
        "glc info: --model is for --heatmap; name its output, or leave it out; see glc info --help",
    ),
    "info a.glc --device cpu": (
        2,
        "glc info: --device is for --heatmap; name its output, or leave it out; see "
        "glc info --help",
    ),
    "info a.glc --heatmap h.xyz": (
        2,
        "glc info: --heatmap h.xyz: a .png file is written; name it h.png; see glc info --help",
    ),
    "info a.glc --heatmap -": (
        2,
        "glc info: --heatmap draws one input, into a file; name one of each; see glc info --help",
    ),
    "info a.glc b.png --heatmap h.png": (
        2,
        "glc info: --heatmap draws one input, into a file; name one of each; see glc info --help",
    ),
    "info a.glc --heatmap h.png -q 50": (
        1,
        "glc info: a.glc: a .glc file has its quality already; -q is for pictures",
    ),
    "info a.glc --heatmap a.png": (
        1,
        "glc info: a.glc: a.png exists; -f replaces it",
    ),
    "info png.glc": (
        1,
        "glc info: png.glc: this is a PNG picture, not a .glc file; glc encode makes one of it",
    ),
    "info missing.glc": (
        1,
        "glc info: missing.glc: no such file",
    ),
    "info none": (
        1,
        "glc info: none: no file to read in this folder; -r also looks into its folders",
    ),
    "verify png.glc": (
        1,
        "glc verify: png.glc: this is a PNG picture, not a .glc file; glc encode makes one of it",
    ),
    "verify flipped.glc": (
        1,
        "glc verify: flipped.glc: checksum does not match; the file is damaged",
    ),
    "verify missing.glc": (
        1,
        "glc verify: missing.glc: no such file",
    ),
    "sample": (
        2,
        "glc sample: the following arguments are required: -o/--output; see glc sample --help",
    ),
    "sample -o s -n 0": (
        2,
        "glc sample: argument -n/--count: expected a number of 1 or more, found '0'; "
        "see glc sample --help",
    ),
    "sample -o a.png": (
        2,
        "glc sample: -o a.png: is a file; name a folder; see glc sample --help",
    ),
    "sample -o s.png": (
        2,
        "glc sample: -o s.png: has the name of a file; name a folder; see glc sample --help",
    ),
    "sample -o s -q 50 --prior normal": (
        2,
        "glc sample: -q says whose tables to draw from, and --prior normal has none; "
        "leave it out; see glc sample --help",
    ),
    "sample -o s --size 0x4": (
        2,
        "glc sample: argument --size: expected WIDTHxHEIGHT with sides of 1 to 4096, "
        "found '0x4'; see glc sample --help",
    ),
    "sample -o s --temperature 0": (
        2,
        "glc sample: argument --temperature: expected a number above 0, found '0'; see "
        "glc sample --help",
    ),
    "sample -o s --seed -1": (
        2,
        "glc sample: argument --seed: expected a whole number of 0 or more, found "
        "'-1'; see glc sample --help",
    ),
    "sample -o s --model missing": (
        1,
        "glc sample: no model called 'missing'; installed: fake",
    ),
    "list": (
        2,
        "glc list: the following arguments are required: ARCHIVE; see glc list --help",
    ),
    "list a.png": (
        1,
        "glc list: a.png: this is a PNG picture, not a .glca archive",
    ),
    "list junk.glca": (
        1,
        "glc list: junk.glca: this is text, not a .glca archive",
    ),
    "list missing.glca": (
        1,
        "glc list: missing.glca: cannot be read: No such file or directory",
    ),
    "unpack a.png -o u": (
        1,
        "glc unpack: a.png: this is a PNG picture, not a .glca archive",
    ),
    "unpack a.glca -o u --realism 0": (
        2,
        "glc unpack: --realism is for --decode; see glc unpack --help",
    ),
    "unpack missing.glca -o u": (
        1,
        "glc unpack: missing.glca: cannot be read: No such file or directory",
    ),
    "models --nonsense": (
        2,
        "glc models: unrecognized arguments: --nonsense; see glc models --help",
    ),
    "finetune --data in --out pets": (
        2,
        "glc finetune: --out: pets.safetensors exists; files made with it could no "
        "longer be read; see glc finetune --help",
    ),
    "finetune --data in --out x --install": (
        2,
        "glc finetune: --install needs a folder: set GLC_MODELS to one; see glc finetune --help",
    ),
    "finetune --data in --out new --init missing": (
        1,
        "glc finetune: a model named 'missing' is not installed; installed: fake (000102)",
    ),
}


def of(command: str) -> dict[str, tuple[int, str]]:
    return {line: found for line, found in MESSAGES.items() if line.split(" ")[0] == command}


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize("command", sorted({line.split(" ")[0] for line in MESSAGES}))
def test_every_message_of_a_command_word_for_word(glc, command):
    expected, found = of(command), {}
    for line in expected:
        result = glc(*line.split())
        # Newer releases of Python leave the quotes out.
        text = result.err.replace("'", "") if "invalid choice" in result.err else result.err
        found[line] = (result.code, text.removesuffix("\n"))
    assert found == expected


def test_messages_have_one_shape():
    """Program, command, what is wrong: one line each, that ends without a full stop."""
    for line, (code, text) in MESSAGES.items():
        name = line.split(" ")[0]
        for said in text.splitlines():
            start = f"glc {name}: " if name not in ("", "enc") else "glc: "
            assert said.startswith(start), line
            assert not said.endswith("."), line
            assert said.isprintable(), line
            # How to call it is said where the call is wrong, and nowhere else.
            assert said.endswith(" --help") == (code == 2), line


def test_messages_name_a_file_once_and_never_a_temporary_one():
    for line, (_, text) in MESSAGES.items():
        for said in text.splitlines():
            assert ".part" not in said, line
            assert "Errno" not in said, line
            assert re.search(r"(^| )(\S+): \2(:| )", said) is None, line
