"""Files that are deleted while a job uses them."""

import shutil

import pytest
import xarray as xr
from faults.in_process import train_run
from tiny_study import tiny_plan

from scoresweep.pipeline import cli
from scoresweep.pipeline.errors import InputError, RunError
from scoresweep.pipeline.rules.evaluate import evaluate
from scoresweep.pipeline.rules.reference import reference
from scoresweep.pipeline.rules.sample import sample
from scoresweep.pipeline.sampling import assemble, chunk_files, drawn_samples
from scoresweep.pipeline.sampling import chunks as chunks_module
from scoresweep.pipeline.training.training_step import TrainingStep

pytestmark = pytest.mark.usefixtures("fresh_process")


@pytest.fixture(scope="module")
def trained(staged, tmp_path_factory):
    """A folder with the tiny run trained, and a first setting drawn undisturbed."""
    root = tmp_path_factory.mktemp("trained")
    shutil.copytree(staged / "data", root / "data")
    plan = tiny_plan(root, steps=10, log={"image_count": 0})
    train_run(plan)
    sample(plan, plan.runs[0].id, plan.settings[0].id)
    reference(plan, "digits", "pixels")
    return plan


@pytest.fixture
def plan(trained, tmp_path):
    shutil.copytree(trained.paths.root, tmp_path / "copy", symlinks=True)
    plan = tiny_plan(tmp_path / "copy", steps=10, log={"image_count": 0})
    shutil.rmtree(plan.paths.results / "samples")
    return plan


def names_of(plan):
    """Return the names of the run and of its sample store."""
    return plan.runs[0].id, plan.settings[0].store


def drawn(plan):
    return xr.load_dataset(
        plan.paths.samples(*names_of(plan)), engine="zarr", consolidated=False
    ).assign_attrs(seconds=0)


def after(monkeypatch, module, name, number, act):
    """Call `act` after the call `number` of a function of `module`."""
    original, calls = getattr(module, name), []

    def call(*arguments, **options):
        result = original(*arguments, **options)
        calls.append(name)
        if len(calls) == number:
            act()
        return result

    monkeypatch.setattr(module, name, call)


DELETED = {
    "one chunk": lambda layout, names: [next(layout.chunk_folder(*names).glob("*000000.*"))],
    "all chunks": lambda layout, names: [layout.chunk_folder(*names)],
    "all samples": lambda layout, names: [layout.results / "samples"],
}


def delete(paths):
    for path in paths:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.mark.parametrize("what", DELETED)
@pytest.mark.parametrize("number", [1, 3])
def test_deleted_chunks_are_named_and_redrawn(plan, trained, what, number, monkeypatch, capsys):
    act = lambda: delete(DELETED[what](plan.paths, names_of(plan)))  # noqa: E731
    after(monkeypatch, chunks_module, "write_chunk", number, act)
    sample(plan, plan.runs[0].id, plan.settings[0].id)
    said = capsys.readouterr().err
    assert "chunk-000000.safetensors" in said
    assert "of 3 chunks" in said
    xr.testing.assert_identical(drawn(plan), drawn(trained))
    assert not plan.paths.chunk_folder(*names_of(plan)).exists()


@pytest.mark.parametrize("moment", ["sha256_of_tensors", "save_safetensors"])
def test_a_folder_deleted_while_a_chunk_is_written(plan, trained, moment, monkeypatch, capsys):
    act = lambda: delete([plan.paths.results / "samples"])  # noqa: E731
    after(monkeypatch, chunk_files, moment, 3, act)
    sample(plan, plan.runs[0].id, plan.settings[0].id)
    assert plan.paths.chunk_folder(*names_of(plan)).name in capsys.readouterr().err
    xr.testing.assert_identical(drawn(plan), drawn(trained))


def test_samples_deleted_while_their_store_is_written(plan, trained, monkeypatch):
    act = lambda: delete([plan.paths.results / "samples"])  # noqa: E731
    after(monkeypatch, assemble, "write_arrays", 1, act)
    # Only the manifest was written, without the store: the next start detects it.
    sample(plan, plan.runs[0].id, plan.settings[0].id)
    sample(plan, plan.runs[0].id, plan.settings[0].id)
    xr.testing.assert_identical(drawn(plan), drawn(trained))


def test_repeatedly_deleted_chunks_are_an_error(plan, monkeypatch):
    def read(job, chunk):
        delete([job.chunk_folder])
        raise FileNotFoundError(2, "No such file", str(job.chunk_folder))

    monkeypatch.setattr(assemble, "read_chunk", read)
    with pytest.raises(RunError, match=r"\.parts: .* deleted 3 times"):
        sample(plan, plan.runs[0].id, plan.settings[0].id)
    monkeypatch.undo()
    sample(plan, plan.runs[0].id, plan.settings[0].id)


# TensorBoard writes in a thread of its own, which ends.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("part", ["", ".owner", "tensorboard"])
def test_a_deleted_run_folder_is_an_error_and_the_run_restarts(plan, trained, part, monkeypatch):
    folder = plan.paths.run(plan.runs[0].id)
    shutil.rmtree(folder)
    after(monkeypatch, TrainingStep, "update", 5, lambda: delete([folder / part]))
    with pytest.raises(RunError, match=rf"{plan.runs[0].id}.*: was deleted"):
        train_run(plan)
    assert not plan.paths.weights(plan.runs[0].id).exists()
    monkeypatch.undo()
    train_run(plan)
    theirs = trained.paths.weights(trained.runs[0].id).read_bytes()
    assert plan.paths.weights(plan.runs[0].id).read_bytes() == theirs


def test_samples_deleted_during_evaluation(plan, monkeypatch, tmp_path):
    sample(plan, plan.runs[0].id, plan.settings[0].id)
    folder = plan.paths.results / "samples"
    after(monkeypatch, drawn_samples, "read_samples", 1, lambda: delete([folder]))
    with pytest.raises(RunError, match=r"\.zarr"):
        evaluate(plan, plan.runs[0].id, plan.settings[0].id)
    monkeypatch.undo()
    sample(plan, plan.runs[0].id, plan.settings[0].id)
    after(monkeypatch, drawn_samples, "_check_finite", 1, lambda: delete([folder]))
    evaluate(plan, plan.runs[0].id, plan.settings[0].id)  # they are in memory
    with pytest.raises(InputError, match="there are no samples here"):
        evaluate(plan, plan.runs[0].id, plan.settings[0].id)


def test_the_command_line_names_a_deleted_file(monkeypatch, capsys):
    gone = FileNotFoundError("No such file or directory: results/a/x.safetensors")
    monkeypatch.setattr(cli, "app", lambda: (_ for _ in ()).throw(gone))
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert "results/a/x.safetensors" in capsys.readouterr().err
