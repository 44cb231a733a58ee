"""A killed sampling job draws only the missing chunks when it is started again."""

import functools
import signal

import pytest
import xarray as xr
from faults.in_process import train_run
from faults.processes import die_in
from forked import fork_context

from scoresweep.pipeline.rules import sample as module
from scoresweep.pipeline.rules.sample import sample

pytestmark = pytest.mark.usefixtures("fresh_process")


def dying(plan, fault):
    fault()
    sample(plan, plan.runs[0].id, plan.settings[0].id)


def drawn(plan):
    store = plan.paths.samples(plan.runs[0].id, plan.settings[0].store)
    return xr.load_dataset(store, engine="zarr", consolidated=False).assign_attrs(seconds=0)


def identities(folder):
    """Return inode and modification time of each file."""
    return {p.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in folder.glob("chunk-*")}


@pytest.mark.parametrize(
    ("function", "call", "chunks"),
    [
        # half of the last chunk is written,
        ("scoresweep.pipeline.sampling.chunk_files.save_safetensors", 3, 2),
        # half of the store,
        ("scoresweep.pipeline.sampling.sample_store.consolidate_metadata", 1, 3),
        # the store, but not its manifest
        ("scoresweep.pipeline.sampling.assemble.write_json", 1, 3),
    ],
)
def test_a_killed_job_draws_only_missing_samples(make_plan, monkeypatch, function, call, chunks):
    plan = make_plan()
    train_run(plan)
    names, setting = (plan.runs[0].id, plan.settings[0].store), plan.settings[0].id
    fault = functools.partial(die_in, function, call)
    job = fork_context().Process(target=dying, args=(plan, fault))
    job.start()
    job.join(60)
    assert job.exitcode == -signal.SIGKILL
    assert not plan.paths.samples_manifest(*names).exists()
    parts = plan.paths.chunk_folder(*names)
    kept, used, write = identities(parts), {}, module.assemble
    assert len(kept) == chunks

    def noting(work, *rest):
        used.update(identities(parts))
        write(work, *rest)

    monkeypatch.setattr(module, "assemble", noting)
    sample(plan, names[0], setting)
    assert len(used) == 3
    assert {name: used[name] for name in kept} == kept
    again = drawn(plan)
    plan.paths.samples_manifest(*names).unlink()
    sample(plan, names[0], setting)  # all of it, undisturbed
    xr.testing.assert_identical(again, drawn(plan))
    folder = plan.paths.samples(*names).parent
    assert [path.name for path in folder.iterdir() if "part" in path.name] == []
