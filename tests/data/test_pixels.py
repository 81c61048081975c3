"""Pictures as tensors: what a batch holds, what is kept on disk, and pictures that do not fit together."""

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save

from fedloom.data.pixels import cached_pictures, load_pictures
from fedloom.data.records import Picture, Provenance
from fedloom.data.sources import load_records
from fedloom.errors import DataError, ModelError
from fedloom.recipe import DataRecipe


def picture(value, shape=(2, 3, 1)):
    return Picture(np.full(shape, value, dtype=np.uint8), str(value), Provenance.PRIVATE)


def test_a_batch_is_channels_first_and_from_0_to_1(tmp_path):
    colours = picture(0, (2, 3, 3))
    colours.pixels[1, 2] = (255, 51, 0)
    rows = load_pictures(cached_pictures([picture(0, (2, 3, 3)), colours], [4, 7], tmp_path / "rows"))
    batch = rows.batch([1])
    assert (batch.shape, batch.dtype) == ((1, 3, 2, 3), torch.float32)
    assert batch[0, :, 1, 2].tolist() == [1.0, pytest.approx(0.2), 0.0]
    assert float(batch.sum()) == pytest.approx(1.2)
    assert (len(rows), rows.right.tolist(), rows.right.dtype, rows.pixels.dtype, rows.truncated) == (2, [4, 7], torch.int64, torch.uint8, 0)


def test_pictures_are_written_once_in_a_folder_for_the_owner_alone(tmp_path):
    path = cached_pictures([picture(1)], [0], tmp_path / "rows")
    written = path.stat().st_mtime_ns
    assert cached_pictures([picture(1)], [0], tmp_path / "rows") == path
    assert path.stat().st_mtime_ns == written
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_pictures_of_a_source_are_decoded_once_for_a_cache_that_is_there(tmp_path, monkeypatch):
    for number in range(4):
        (tmp_path / "cat").mkdir(exist_ok=True)
        Image.new("L", (2, 2), number).save(tmp_path / "cat" / f"{number}.png")
    records = load_records(DataRecipe(source=f"pictures:{tmp_path}"), seed=7).records.take([3, 1])
    path = cached_pictures(records, [0, 0], tmp_path / "rows")
    assert load_pictures(path).pixels[:, 0, 0, 0].tolist() == [3, 1]
    assert cached_pictures(list(records), [0, 0], tmp_path / "rows") == path
    monkeypatch.setattr(Image, "open", None)
    assert cached_pictures(records, [0, 0], tmp_path / "rows") == path


def test_other_pixels_classes_or_shapes_are_kept_apart(tmp_path):
    others = [([picture(2)], [0]), ([picture(1)], [1]), ([picture(1, (3, 2, 1))], [0]), ([picture(1)] * 2, [0, 0])]
    assert len({cached_pictures(*given, tmp_path) for given in [([picture(1)], [0]), *others]}) == 5


def test_grey_pictures_among_coloured_ones_have_three_equal_channels(tmp_path):
    grey, red = picture(7, (2, 2, 1)), Picture(np.full((2, 2, 3), (9, 0, 0), dtype=np.uint8), "a", Provenance.PUBLIC)
    for records in ([grey, red], [red, grey], [grey, grey, red, grey]):
        rows = load_pictures(cached_pictures(records, [0] * len(records), tmp_path))
        assert [row[0, 0].tolist() for row in rows.pixels] == [[7, 7, 7] if record is grey else [9, 0, 0] for record in records]


def test_pictures_of_two_sizes_are_refused_with_both(tmp_path):
    with pytest.raises(DataError, match=r"different sizes, 2x3x1 and 4x3x1 \(height x width x channels\); set data\.picture_size$"):
        cached_pictures([picture(1), picture(1), picture(1, (4, 3, 1))], [0, 0, 0], tmp_path)


def test_a_damaged_file_is_removed_and_named(tmp_path):
    path = cached_pictures([picture(1)], [0], tmp_path)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ModelError, match="the picture cache was damaged and has been removed; run again"):
        load_pictures(path)
    assert not path.exists()


def test_a_file_without_the_tensors_of_the_task_is_kept_and_named(tmp_path):
    path = tmp_path / "others.safetensors"
    path.write_bytes(save({"other": torch.zeros(1)}, metadata={"truncated": "0"}))
    with pytest.raises(ModelError, match=r"others\.safetensors: is no picture cache of this task"):
        load_pictures(path)
    path.write_bytes(save({"other": torch.zeros(1)}))
    with pytest.raises(ModelError, match=r"others\.safetensors: is no picture cache of this task"):
        load_pictures(path)
    assert path.exists()
