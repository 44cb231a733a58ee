"""`snakemake` on a study with successive halving: the first run, the second, an added setting."""

import json
import shutil

import pytest
import xarray as xr
from test_workflow import planned, snakemake
from tiny_study import TINY, give_data

pytestmark = pytest.mark.xdist_group("workflow")

STEPS = "[5e-4, 1e-3, 2e-3, 4e-3]"
STUDY = (
    TINY.replace("seed: [0, 1]", "seed: [0]")
    .replace("[2e-3, 4e-3]", STEPS)
    .replace("count: 50", "count: 80")
    .replace("  chunk: 20", "  chunk: 20\n  halving: HALVING")
    .replace("HALVING", "{measure: frechet_pixels, counts: [20, 40], keep: 0.5}")
)
ONE, MANY = (("--config", f"settings_per_job={n}") for n in (1, 10))


def test_every_count_has_batches(tmp_path):
    (tmp_path / "study.yaml").write_text(STUDY)
    before = {"stage": 1, "reference": 1, "train": 1, "report": 1}
    assert planned(tmp_path, *ONE) == before | {"sweep": 5 + 2 + 1}
    assert planned(tmp_path) == before | {"sweep": 4 + 2 + 1}
    refused = snakemake(tmp_path, "--dry-run", "--until", "sweep")
    assert refused.returncode
    assert "--omit-from report" in refused.stdout + refused.stderr


@pytest.mark.slow
def test_a_study_with_halving(staged, tmp_path):
    give_data(tmp_path, staged)
    (tmp_path / "study.yaml").write_text(STUDY)
    ended = snakemake(tmp_path, *MANY)
    assert ended.returncode == 0, ended.stderr
    results = tmp_path / "results/tiny"
    with xr.open_datatree(results / "report.nc", engine="h5netcdf") as report:
        sampling = report["sampling"].to_dataset()
        assert sorted(sampling["count"].values.flat) == [20, 20, 40, 80]
        assert sorted(sampling["dropped_at"].values.flat) == [0, 20, 20, 40]
    (choice,) = results.glob("halving/*/40.json")
    assert len(json.loads(choice.read_text())["configurations"]) == 4
    assert planned(tmp_path) == {}
    # A lost measurement at the first count: the choice waits for it.
    lost = sorted(results.glob("metrics/*/step_size*.nc"))[0]
    kept = {path: path.stat().st_mtime_ns for path in results.glob("metrics/*/*.nc")} | {lost: 0}
    shutil.rmtree(results / "halving")
    lost.unlink()
    ended = snakemake(tmp_path, *MANY)
    assert ended.returncode == 0, ended.stderr
    assert {p for p, at in kept.items() if p.stat().st_mtime_ns != at} == {lost}
    # An added setting starts at the first count.
    (tmp_path / "study.yaml").write_text(STUDY.replace(STEPS, "[5e-4, 1e-3, 2e-3, 4e-3, 8e-3]"))
    assert planned(tmp_path, *ONE) == {"sweep": 1 + 3 + 2, "report": 1}
