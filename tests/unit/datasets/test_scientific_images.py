"""Images of other numbers than 8 bits: read rightly, or refused in one line that names the file."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnngraph.datasets import images as images_module
from cnngraph.datasets.images import Images
from cnngraph.datasets.pixels import FilePixels, prepare
from cnngraph.datasets.registry import open_data
from cnngraph.errors import DataError
from cnngraph.origin import Preprocessing

RAMP = np.linspace(0, 1, 64).reshape(8, 8)


def write(folder: Path, arrays: list[np.ndarray], suffix: str = ".tif", **options: object) -> list[Path]:
    paths = []
    for place, array in enumerate(arrays):
        path = folder / f"{place}{suffix}"
        Image.fromarray(array).save(path, **options)
        paths.append(path)
    return paths


def read(paths: list[Path], value_range: tuple[float, float] | None = None, channels: int = 1) -> np.ndarray:
    """Every image on the scale 0..1, (N, channels, 8, 8)."""
    wanted = Preprocessing(size=(8, 8), channels=channels, mean=(0.0,), std=(1.0,), value_range=value_range)
    images = Images(FilePixels(paths), np.zeros(len(paths), dtype=np.int64), wanted)
    images.preload(data="these")
    assert images._cache is not None
    return images[range(len(paths))][0].numpy()


def refusal(paths: list[Path], value_range: tuple[float, float] | None = None, channels: int = 1) -> str:
    with pytest.raises(DataError) as caught:
        read(paths, value_range, channels)
    assert "\n" not in caught.value.message + caught.value.hint
    return str(caught.value)


# --- what the numbers mean


def test_twelve_bits_in_sixteen_need_a_range_and_keep_their_precision(tmp_path: Path) -> None:
    stored = np.rint(RAMP * 4095).astype(np.uint16)
    paths = write(tmp_path, [stored])
    said = refusal(paths)
    assert "use values 0..4095 of 0..65535" in said and "--value-range 0 4095" in said
    assert np.abs(read(paths, (0, 4095))[0, 0] - stored / 4095).max() < 1e-6
    assert len(np.unique(read(paths, (0, 4095)))) == 64


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [(np.int32, -1000, 400), (np.float32, -1000, 400), (np.float32, 0, 1), (np.int32, 0, 70000)],
)
def test_numbers_without_a_natural_range_need_one(tmp_path: Path, dtype: type, low: float, high: float) -> None:
    stored = (low + RAMP * (high - low)).astype(dtype)
    paths = write(tmp_path, [stored])
    said = refusal(paths)
    assert "their type does not say" in said and f"--value-range {low} {high}" in said
    assert np.abs(read(paths, (low, high))[0, 0] - (stored - low) / (high - low)).max() < 1e-6


def test_what_lies_beyond_the_range_is_clipped(tmp_path: Path) -> None:
    found = read(write(tmp_path, [(RAMP * 2000 - 1000).astype(np.float32)]), (-500, 500))[0, 0]
    assert (found.min(), found.max()) == (0, 1)
    assert (found[0, :8] == 0).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_full_range_of_the_type_is_the_default(tmp_path: Path, dtype: type) -> None:
    most = np.iinfo(dtype).max
    stored = np.rint(RAMP * most).astype(dtype)
    assert np.abs(read(write(tmp_path, [stored], ".png"))[0, 0] - stored / most).max() < 1e-6


def test_a_range_of_eight_bit_images(tmp_path: Path) -> None:
    stored = np.rint(RAMP * 7).astype(np.uint8)
    assert np.abs(read(write(tmp_path, [stored], ".png"), (0, 7))[0, 0] - stored / 7).max() < 1e-6


def test_dark_images_of_eight_bits_are_read_and_said(tmp_path: Path) -> None:
    paths = write(tmp_path, [np.rint(RAMP * 7).astype(np.uint8)], ".png")
    images = Images(FilePixels(paths), np.zeros(1, dtype=np.int64), Preprocessing(size=(8, 8)))
    (said,) = images.preload(data="these")
    assert "0..7 of 0..255" in said


def test_a_range_that_the_images_do_not_use_is_refused(tmp_path: Path) -> None:
    paths = write(tmp_path, [np.rint(RAMP * 255).astype(np.uint8)], ".png")
    assert "use values 0..255 of 0..4095" in refusal(paths, (0, 4095))


def test_the_same_64_images_are_looked_at(tmp_path: Path) -> None:
    bright = np.rint(RAMP * 60000).astype(np.uint16)
    dark = np.rint(RAMP * 100).astype(np.uint16)
    paths = write(tmp_path, [dark] * 99 + [bright])  # the last one is among them
    assert read(paths).shape == (100, 1, 8, 8)
    assert "under a tenth" in refusal(paths[:99])


def test_images_that_are_not_kept_are_looked_at_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images_module, "CACHE_BYTES", 10)
    paths = write(tmp_path, [np.rint(RAMP * 4095).astype(np.uint16)] * 3)
    assert "--value-range 0 4095" in refusal(paths)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_a_number_is_said_with_the_file(tmp_path: Path, value: float) -> None:
    stored = RAMP.astype(np.float32)
    stored[3, 3] = value
    said = refusal(write(tmp_path, [RAMP.astype(np.float32), stored]), (0, 1))
    assert "1.tif" in said and "1 of its 64 numbers are NaN or infinite" in said


@pytest.mark.parametrize("value_range", [None, (0, 255)])
def test_eight_and_sixteen_bits_do_not_mix(tmp_path: Path, value_range: tuple[float, float] | None) -> None:
    paths = write(tmp_path, [np.rint(RAMP * 255).astype(np.uint8), np.rint(RAMP * 65535).astype(np.uint16)], ".png")
    said = refusal(paths, value_range)
    assert "0.png holds 8-bit numbers" in said and "1.png 16-bit" in said


def test_numbers_of_several_types_may_mix_where_a_range_says_what_they_mean(tmp_path: Path) -> None:
    hounsfield = RAMP * 1400 - 1000
    paths = write(tmp_path, [hounsfield.astype(np.int32), hounsfield.astype(np.float32)])
    assert "different kinds" in refusal(paths)
    assert np.abs(read(paths, (-1000, 400))[1, 0] - RAMP).max() < 1e-6


@pytest.mark.parametrize("budget", [10**9, 1], ids=["kept", "not kept"])
def test_bytes_beside_8_bits_with_a_range_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, budget: int
) -> None:
    monkeypatch.setattr("cnngraph.datasets.images.CACHE_BYTES", budget)
    steps = np.arange(16, dtype=np.uint8).reshape(4, 4)
    Image.fromarray(steps * 17).save(tmp_path / "0.png")
    (tmp_path / "1.pgm").write_bytes(b"P5 4 4 15\n" + steps.tobytes())
    images = Images(
        FilePixels([tmp_path / "0.png", tmp_path / "1.pgm"]),
        np.zeros(2, dtype=np.int64),
        Preprocessing(size=(4, 4), channels=1, mean=(0.0,), std=(1.0,)),
    )
    images.preload()
    for values in images[[0, 1]][0].numpy():
        np.testing.assert_allclose(values[0], steps / 15, atol=1e-6)


def test_what_was_refused_is_refused_again(tmp_path: Path) -> None:
    paths = write(tmp_path, [np.arange(16, dtype=np.uint16).reshape(4, 4)], ".png")
    images = Images(FilePixels(paths), np.zeros(1, dtype=np.int64), Preprocessing(size=(4, 4), channels=1))
    for _ in range(2):
        with pytest.raises(DataError, match="under a tenth of the range"):
            images.preload()


def test_an_image_of_another_kind_behind_the_sample_is_found(tmp_path: Path) -> None:
    paths = write(tmp_path, [np.rint(RAMP * 255).astype(np.uint8)] * 200, ".png")
    Image.fromarray(np.rint(RAMP * 65535).astype(np.uint16)).save(paths[1])
    assert "1.png 16-bit" in refusal(paths)


# --- formats that PIL changes in silence


def png(path: Path, array: np.ndarray, colours: int) -> Path:
    """A PNG of 16 bits a channel: 0 grey, 2 RGB, 4 grey and alpha, 6 RGBA."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = array.shape[:2]
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in array)
    header = struct.pack(">IIBBBBB", width, height, 16, colours, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    )
    return path


@pytest.mark.filterwarnings("ignore:The image decoding and encoding capabilities:DeprecationWarning")
@pytest.mark.parametrize(("colours", "samples", "bands"), [(0, 1, 1), (2, 3, 3), (4, 2, 1), (6, 4, 3)])
def test_png_of_sixteen_bits_keeps_them(tmp_path: Path, colours: int, samples: int, bands: int) -> None:
    stored = np.random.default_rng(0).integers(0, 4096, (8, 8, samples)).astype(np.uint16)
    found = read([png(tmp_path / "a.png", stored, colours)], (0, 4095), channels=3)
    assert np.abs(found[0].transpose(1, 2, 0)[..., :bands] - stored[..., :bands] / 4095).max() < 1e-6
    assert "of 0..65535" in refusal([tmp_path / "a.png"], channels=3)


@pytest.mark.parametrize("highest", [1, 15, 100, 200, 255, 1023, 4095, 65535])
@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("bands", [1, 3])
def test_pgm_and_ppm_say_their_highest_number(tmp_path: Path, highest: int, plain: bool, bands: int) -> None:
    stored = np.rint(np.repeat(RAMP[..., None], bands, 2) * highest).astype(int)
    kind = {(1, False): 5, (3, False): 6, (1, True): 2, (3, True): 3}[bands, plain]
    body = (
        " ".join(map(str, stored.ravel())).encode()
        if plain
        else stored.astype(">u2" if highest > 255 else "u1").tobytes()
    )
    path = tmp_path / "a.pgm"
    path.write_bytes(b"P%d\n# by hand\n8 8\n%d\n" % (kind, highest) + body)
    expected = stored.transpose(2, 0, 1) / highest
    assert np.abs(read([path], channels=bands)[0] - expected).max() < 1e-6
    assert np.abs(read([path], (0, highest), channels=bands)[0] - expected).max() < 1e-6


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_png_of_few_bits_has_its_own_numbers(tmp_path: Path, bits: int) -> None:
    highest = 2**bits - 1
    stored = np.rint(RAMP * highest).astype(np.uint8)
    image = Image.fromarray(stored * (255 // highest))
    path = tmp_path / "a.png"
    if bits == 1:
        image.convert("1", dither=Image.Dither.NONE).save(path)
    else:
        _png_of_few_bits(path, stored, bits)
    assert np.abs(read([path])[0, 0] - stored / highest).max() < 1e-6
    assert np.abs(read([path], (0, highest))[0, 0] - stored / highest).max() < 1e-6


@pytest.mark.parametrize("bits", [2, 4])
def test_a_typed_range_is_of_the_stored_numbers_whatever_it_is(tmp_path: Path, bits: int) -> None:
    stored = np.rint(RAMP * (2**bits - 1)).astype(np.uint8)
    _png_of_few_bits(tmp_path / "a.png", stored, bits)
    picture = FilePixels([tmp_path / "a.png"]).picture(0)
    for high in (254, 255, 256):
        wanted = Preprocessing(size=(8, 8), channels=1, value_range=(0, high))
        assert np.abs(prepare(picture, wanted, 1)[0] - stored / high).max() < 1e-6


def _png_of_few_bits(path: Path, stored: np.ndarray, bits: int) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    per_byte = 8 // bits
    lines = b""
    for line in stored:
        groups = line.reshape(-1, per_byte)
        lines += b"\0" + bytes(int(sum(int(v) << (8 - bits * (k + 1)) for k, v in enumerate(g))) for g in groups)
    header = struct.pack(">IIBBBBB", 8, 8, bits, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    )


def tiff(
    path: Path, array: np.ndarray, *, order: str = "<", photometric: int = 1, extra: list[int] | None = None
) -> Path:
    """A plain TIFF with one strip, as an instrument writes it: any type, any number of samples."""
    array = array[..., None] if array.ndim == 2 else array
    height, width, samples = array.shape
    form = {"u": 1, "i": 2, "f": 3}[array.dtype.kind]
    data = array.astype(array.dtype.newbyteorder(order)).tobytes()
    tags: list[tuple[int, int, list[int]]] = [
        (256, 4, [width]),
        (257, 4, [height]),
        (258, 3, [array.itemsize * 8] * samples),
        (259, 3, [1]),
        (262, 3, [photometric]),
        (273, 4, [8]),
        (277, 3, [samples]),
        (278, 4, [height]),
        (279, 4, [len(data)]),
        (339, 3, [form] * samples),
    ]
    if extra:
        tags.append((338, 3, extra))
    place = 8 + len(data)
    body, entries = b"", b""
    behind = place + 2 + 12 * len(tags) + 4
    for tag, kind, values in sorted(tags):
        packed = struct.pack(f"{order}{len(values)}{'H' if kind == 3 else 'I'}", *values)
        if len(packed) > 4:
            entries += struct.pack(f"{order}HHII", tag, kind, len(values), behind + len(body))
            body += packed
        else:
            entries += struct.pack(f"{order}HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    magic = b"II*\0" if order == "<" else b"MM\0*"
    header = magic + struct.pack(f"{order}I", place)
    path.write_bytes(header + data + struct.pack(f"{order}H", len(tags)) + entries + bytes(4) + body)
    return path


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "i4", "f4"])
def test_tiff_of_every_type_that_pil_reads(tmp_path: Path, order: str, dtype: str) -> None:
    low, high = (-1.5, 2.5) if dtype == "f4" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    stored = (low + RAMP * (float(high) - float(low))).clip(low, high).astype(dtype)
    path = tiff(tmp_path / "a.tif", stored, order=order)
    expected = (stored.astype(float) - low) / (float(high) - float(low))
    assert np.abs(read([path], (low, high))[0, 0] - expected).max() < 1e-6
    if dtype in ("u1", "i1", "u2", "i2"):
        assert np.abs(read([path])[0, 0] - expected).max() < 1e-6


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("dtype", ["u2", "i4", "f4"])
def test_compressed_tiff(tmp_path: Path, compression: str, dtype: str) -> None:
    stored = np.rint(RAMP * 60000).astype(dtype)
    found = read(write(tmp_path, [stored], compression=compression), (0, 60000))[0, 0]
    assert np.abs(found - stored / 60000).max() < 1e-6


@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_white_may_be_zero(tmp_path: Path, dtype: str) -> None:
    most = np.iinfo(dtype).max
    stored = np.rint(RAMP * most).astype(dtype)
    assert np.abs(read([tiff(tmp_path / "a.tif", stored, photometric=0)])[0, 0] - (1 - stored / most)).max() < 1e-6


SEVERAL = {
    "two 8-bit bands": ("u1", 2, 1, [0]),
    "RGB with an infrared band": ("u1", 4, 2, [0]),
    "RGB with two more": ("u1", 5, 2, [0, 0]),
    "13 bands of 16 bits": ("u2", 13, 1, [0] * 12),
    "four floats": ("f4", 4, 1, [0] * 3),
}


@pytest.mark.parametrize("case", SEVERAL)
def test_more_bands_than_the_net_reads_are_refused(tmp_path: Path, case: str) -> None:
    dtype, bands, photometric, extra = SEVERAL[case]
    stored = (np.random.default_rng(0).random((8, 8, bands)) * 250).astype(dtype)
    path = tiff(tmp_path / "a.tif", stored, photometric=photometric, extra=extra)
    said = refusal([path], (0, 250), channels=3)
    assert "a.tif" in said and f"{bands} bands" in said


@pytest.mark.parametrize("case", SEVERAL)
def test_as_many_bands_as_the_net_reads(tmp_path: Path, case: str, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("tifffile")
    dtype, bands, photometric, extra = SEVERAL[case]
    stored = (np.random.default_rng(0).random((8, 8, bands)) * 250).astype(dtype)
    path = tiff(tmp_path / "a.tif", stored, photometric=photometric, extra=extra)
    found = read([path], (0, 250), channels=bands)[0]
    assert np.abs(found - stored.transpose(2, 0, 1) / 250).max() < 1e-6
    assert not caplog.records  # of PIL, for each of many thousand files


@pytest.mark.parametrize("dtype", ["u2", "u4", "f8"])
def test_what_pil_would_cut_or_wrap_is_read_whole_or_refused(
    tmp_path: Path, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = (8, 8, 3) if dtype == "u2" else (8, 8)
    stored = (np.random.default_rng(0).random(shape) * 3e9 % 4000).astype(dtype)
    path = tiff(tmp_path / "a.tif", stored, photometric=2 if dtype == "u2" else 1)
    if dtype != "u4":
        with monkeypatch.context() as patched:
            patched.setattr("cnngraph.datasets.tiff.find_spec", lambda name: None)
            assert 'pip install "cnngraph[tiff]"' in refusal([path], (0, 4000), channels=3)
        pytest.importorskip("tifffile")
    expected = stored.reshape(8, 8, -1).transpose(2, 0, 1) / 4000
    assert np.abs(read([path], (0, 4000), channels=3)[0] - expected).max() < 1e-6


def test_unsigned_32_bits_do_not_wrap(tmp_path: Path) -> None:
    stored = (RAMP * (2**32 - 1)).astype(np.uint32)
    found = read([tiff(tmp_path / "a.tif", stored)], (0, 2**32 - 1))[0, 0]
    assert np.abs(found - RAMP).max() < 1e-6


def test_alpha_is_no_band(tmp_path: Path) -> None:
    stored = np.random.default_rng(0).integers(0, 255, (8, 8, 4)).astype(np.uint8)
    found = read([tiff(tmp_path / "a.tif", stored, photometric=2, extra=[2])], channels=3)[0]
    assert np.abs(found - stored[..., :3].transpose(2, 0, 1) / 255).max() < 1e-6


# --- pages and frames


def pages(path: Path, arrays: list[np.ndarray]) -> Path:
    images = [Image.fromarray(array) for array in arrays]
    images[0].save(path, save_all=True, append_images=images[1:])
    return path


@pytest.mark.parametrize("count", [2, 5, 17, 70])
def test_a_stack_of_pages_is_no_image(tmp_path: Path, count: int) -> None:
    path = pages(tmp_path / "volume.tif", [np.rint(RAMP * 255).astype(np.uint8)] * count)
    said = refusal([path])
    assert "volume.tif" in said and f"holds {count} pages" in said


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("count", [2, 3, 4])
def test_as_many_pages_as_the_net_reads_are_its_channels(tmp_path: Path, dtype: type, count: int) -> None:
    most = np.iinfo(dtype).max
    stored = [np.rint(np.roll(RAMP, page) * most).astype(dtype) for page in range(count)]
    found = read([pages(tmp_path / "a.tif", stored)], channels=count)[0]
    assert np.abs(found - np.stack(stored) / most).max() < 1e-6


def test_pages_of_several_sizes_or_kinds_are_refused(tmp_path: Path) -> None:
    grey = np.rint(RAMP * 255).astype(np.uint8)
    assert "of several sizes" in refusal([pages(tmp_path / "a.tif", [grey, grey[:4]])], channels=2)
    assert "of several kinds" in refusal([pages(tmp_path / "b.tif", [grey, grey.astype(np.uint16)])], channels=2)
    colours = np.repeat(grey[..., None], 3, 2)
    assert "of colour images" in refusal([pages(tmp_path / "c.tif", [colours] * 2)], channels=6)


def test_smaller_copies_and_masks_are_no_pages(tmp_path: Path) -> None:
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    tags = ImageFileDirectory_v2()
    tags[254] = 1
    small = Image.fromarray(np.zeros((4, 4), np.uint8))
    small.encoderinfo = {"tiffinfo": tags}
    path = tmp_path / "pyramid.tif"
    Image.fromarray(np.rint(RAMP * 255).astype(np.uint8)).save(path, save_all=True, append_images=[small])
    assert np.abs(read([path])[0, 0] - np.rint(RAMP * 255) / 255).max() < 1e-6


def test_a_stack_of_imagej_in_one_directory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(np.rint(RAMP * 255).astype(np.uint8)).save(path, description="ImageJ=1.53t\nimages=12\nslices=12\n")
    assert "holds 12 pages" in refusal([path])


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_of_an_animation_the_first_frame_is_read_and_said(tmp_path: Path, suffix: str) -> None:
    frames = [Image.fromarray(np.full((8, 8, 3), value, np.uint8)) for value in (200, 20)]
    path = tmp_path / f"a{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:], lossless=True)
    images = Images(
        FilePixels([path]), np.zeros(1, dtype=np.int64), Preprocessing(size=(8, 8), mean=(0.0,), std=(1.0,))
    )
    said = images.preload(data="these")
    assert any("1 images of these are animations" in one for one in said)
    assert abs(float(images[0][0].mean()) - 200 / 255) < 0.01


def test_a_rotation_in_the_exif_data_is_not_done_and_said(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    array = np.zeros((8, 8, 3), np.uint8)
    array[:4] = 255
    Image.fromarray(array).save(tmp_path / "a.jpg", exif=exif, quality=95)
    images = Images(FilePixels([tmp_path / "a.jpg"]), np.zeros(1, dtype=np.int64), Preprocessing(size=(8, 8)))
    assert any("1 of 1 images" in one and "EXIF" in one for one in images.preload())
    top, bottom = images[0][0][:, :4].mean(), images[0][0][:, 4:].mean()
    assert top > bottom


def test_a_colour_image_is_refused_by_a_net_of_other_channels(tmp_path: Path) -> None:
    paths = write(tmp_path, [np.repeat(np.rint(RAMP * 255).astype(np.uint8)[..., None], 3, 2)], ".png")
    for channels in (2, 4, 6):
        assert f"is a colour image, and the net reads {channels} channels" in refusal(paths, channels=channels)
    assert read(paths, channels=1).shape == (1, 1, 8, 8)


# --- volumes


@pytest.mark.parametrize(("name", "kind"), [("a.nii", "NIfTI"), ("b.NII.GZ", "NIfTI"), ("deep/c.nrrd", "NRRD")])
def test_volumes_are_named(tmp_path: Path, name: str, kind: str) -> None:
    for label in ("a", "b"):
        path = tmp_path / label / name
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x")
    with pytest.raises(DataError, match=f"is a {kind} file, which is not read"):
        open_data(f"folder:{tmp_path}", preprocessing=Preprocessing(size=(8, 8)))
