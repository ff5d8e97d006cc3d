"""DICOM (extra ``dicom``): what the modality means, and one line for what is not read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnngraph.datasets.images import Images
from cnngraph.datasets.pixels import FilePixels
from cnngraph.datasets.registry import open_data
from cnngraph.errors import DataError
from cnngraph.origin import Preprocessing

pydicom = pytest.importorskip("pydicom")
RAMP = np.linspace(0, 1, 64).reshape(8, 8)


def write(path: Path, stored: np.ndarray, **tags: Any) -> Path:
    """An uncompressed DICOM image with the numbers ``stored``."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = tags.pop("TransferSyntaxUID", ExplicitVRLittleEndian)
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    dataset.Rows, dataset.Columns = stored.shape[-2:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    bits = stored.dtype.itemsize * 8
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = int(stored.dtype.kind == "i")
    dataset.PixelData = stored.tobytes()
    for name, value in tags.items():
        setattr(dataset, name, value)
    dataset.save_as(path, enforce_file_format=True)
    return path


def read(paths: list[Path], value_range: tuple[float, float] | None) -> np.ndarray:
    wanted = Preprocessing(size=(8, 8), channels=1, mean=(0.0,), std=(1.0,), value_range=value_range)
    images = Images(FilePixels(paths), np.zeros(len(paths), dtype=np.int64), wanted)
    images.preload(data="these")
    return images[range(len(paths))][0].numpy()[:, 0]


def refusal(path: Path, value_range: tuple[float, float] | None = (0, 1000)) -> str:
    with pytest.raises(DataError) as caught:
        read([path], value_range)
    assert "\n" not in caught.value.message + caught.value.hint and path.name in caught.value.message
    return str(caught.value)


@pytest.mark.parametrize("dtype", [np.uint16, np.int16])
def test_hounsfield_units(tmp_path: Path, dtype: type) -> None:
    stored = np.rint(RAMP * 2800).astype(dtype)
    path = write(tmp_path / "a.dcm", stored, RescaleSlope=0.5, RescaleIntercept=-1000)
    expected = (stored * 0.5 - 1000 + 1000) / 1400
    assert np.abs(read([path], (-1000, 400))[0] - expected).max() < 1e-6
    assert "--value-range -1000 400" in refusal(path, None)


def test_monochrome1_is_inverted(tmp_path: Path) -> None:
    stored = np.rint(RAMP * 1000).astype(np.uint16)
    path = write(tmp_path / "a.dcm", stored, PhotometricInterpretation="MONOCHROME1")
    assert np.abs(read([path], (0, 1000))[0] - (1 - stored / 1000)).max() < 1e-6


def test_slices_with_their_own_slopes_mean_the_same(tmp_path: Path) -> None:
    hounsfield = np.rint(RAMP * 1000)
    paths = [
        write(
            tmp_path / f"{slope}.dcm",
            (hounsfield * slope).astype(np.uint16),
            RescaleSlope=1 / slope,
            RescaleIntercept=0,
        )
        for slope in (1, 2, 4)
    ]
    assert np.abs(read(paths, (0, 1000)) - hounsfield / 1000).max() < 1e-6


def test_several_frames_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", np.zeros((3, 8, 8), np.uint16), NumberOfFrames=3)
    assert "holds 3 frames" in refusal(path)


def test_what_is_no_image_is_one_line(tmp_path: Path) -> None:
    for name, content in (("empty.dcm", b""), ("text.dcm", b"no DICOM" * 100)):
        (tmp_path / name).write_bytes(content)
        assert "is no" in refusal(tmp_path / name)
    path = write(tmp_path / "cut.dcm", np.zeros((8, 8), np.uint16))
    path.write_bytes(path.read_bytes()[:-50])
    assert "no readable image" in refusal(path)
    from pydicom import dcmread

    whole = dcmread(write(tmp_path / "report.dcm", np.zeros((8, 8), np.uint16)))
    del whole.PixelData
    whole.save_as(tmp_path / "report.dcm")
    assert "without an image" in refusal(tmp_path / "report.dcm")


def test_a_compression_without_its_package_is_one_line(tmp_path: Path) -> None:
    from pydicom.encaps import encapsulate
    from pydicom.uid import JPEGLSLossless

    path = tmp_path / "a.dcm"
    write(path, np.zeros((8, 8), np.uint16), TransferSyntaxUID=JPEGLSLossless, PixelData=encapsulate([bytes(64)]))
    assert "is compressed as JPEG-LS" in refusal(path)


def test_without_the_extra_it_says_how_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cnngraph.datasets.dicom.find_spec", lambda name: None)
    assert 'pip install "cnngraph[dicom]"' in refusal(write(tmp_path / "a.dcm", np.zeros((8, 8), np.uint16)))


def test_a_folder_of_slices(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for label in ("healthy", "lesion"):
        (tmp_path / label).mkdir()
        for number in range(4):
            stored = rng.integers(0, 1400, (8, 8)).astype(np.uint16)
            write(tmp_path / label / f"{number}.dcm", stored, RescaleSlope=1, RescaleIntercept=-1000)
    (tmp_path / "lesion" / "DICOMDIR").write_bytes(b"x")
    wanted = Preprocessing(size=(8, 8), value_range=(-1000, 400))
    data = open_data(f"folder:{tmp_path}", preprocessing=wanted)
    assert len(data.train) + len(data.validation) + len(data.test) == 8
