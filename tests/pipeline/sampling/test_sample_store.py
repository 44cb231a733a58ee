import hashlib

import numpy as np
import torch
import xarray as xr
import zarr
from written_samples import write_samples

from scoresweep.pipeline.data.store_manifest import manifest_path
from scoresweep.pipeline.sampling.sample_store import read_samples
from scoresweep.pipeline.system.atomic_files import write_json

LEVELS = {"sigma": torch.tensor([2.0, 1.0]), "step_size": torch.tensor([4e-3, 1e-3])}


def write(store, x, trajectory=None):
    seeds = torch.arange(len(x)) + 2**62
    described = write_samples(
        store, x, chunk_seed=seeds, levels=LEVELS, trajectory=trajectory, attributes={"run": "a"}
    )
    write_json(manifest_path(store), described)
    return described["sha256"]


def test_images_are_kept_as_the_nearest_of_256_greys(tmp_path):
    values = [-3.0, 0.0, 0.4 / 255, 0.6 / 255, 0.5, 254.6 / 255, 1.0, 7.0]
    x = torch.tensor(values).reshape(2, 1, 2, 2)
    digest = write(tmp_path / "s.zarr", x)
    found = read_samples(tmp_path / "s.zarr")
    assert found.values.ravel().tolist() == [0, 0, 0, 1, 128, 255, 255, 255]
    assert found.values.shape == (2, 2, 2, 1)
    assert found.pixel_range == (0.0, 255.0)
    assert digest == hashlib.sha256(found.values.tobytes()).hexdigest()
    torch.testing.assert_close(found.model_space(), x.clamp(0, 1), rtol=0, atol=0.5 / 255 + 1e-6)


def test_colours_and_rows_stay_where_they_are(tmp_path):
    x = torch.randint(0, 256, (3, 3, 4, 5)) / 255
    frames = torch.randn(2, 2, 3, 4, 5)
    write(tmp_path / "s.zarr", x, frames)
    with xr.open_zarr(tmp_path / "s.zarr") as found:
        assert found.image.dims == ("sample", "y", "x", "channel")
        np.testing.assert_array_equal(found.image, (255 * x).round().permute(0, 2, 3, 1))
        assert found.trajectory.dims == ("path", "level", "y", "x", "channel")
        np.testing.assert_array_equal(found.trajectory, frames.permute(0, 1, 3, 4, 2))
        assert found.chunk_seed.values.tolist() == [2**62, 2**62 + 1, 2**62 + 2]
        assert found.sigma.dims == ("level",)
        assert found.sigma.values.tolist() == [2.0, 1.0]
        assert found.step_size.dtype == np.float64
        assert found.step_size.attrs["units"] == "data^2"
        assert found.attrs == {"run": "a"}


def test_points_are_kept_as_they_are(tmp_path):
    x = torch.tensor([[-3.0, 1e-9], [0.5, 70.0]])
    frames = torch.randn(1, 2, 2)
    digest = write(tmp_path / "s.zarr", x, frames)
    found = read_samples(tmp_path / "s.zarr")
    np.testing.assert_array_equal(found.values, x)
    assert found.values.dtype == np.float32
    assert found.pixel_range is None
    assert digest == hashlib.sha256(x.numpy().tobytes()).hexdigest()
    root = zarr.open_group(tmp_path / "s.zarr", mode="r")
    np.testing.assert_array_equal(root["trajectory"][:], frames)
    assert root["trajectory"].metadata.dimension_names == ("path", "level", "feature")
    assert "pixel_range" not in root["point"].attrs


def test_samples_without_trajectories_replace_those_with(tmp_path):
    write(tmp_path / "s.zarr", torch.rand(2, 2), torch.randn(1, 2, 2))
    write(tmp_path / "s.zarr", torch.rand(2, 2))
    assert "trajectory" not in zarr.open_group(tmp_path / "s.zarr", mode="r")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.json", "s.zarr"]
