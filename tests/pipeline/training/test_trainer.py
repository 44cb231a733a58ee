"""The training loop: exact resume, any number of processes, no silent failure."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch
import xarray as xr
from accelerate import Accelerator
from faults.in_process import crash_at, train_run
from faults.processes import finish
from faults.run_comparison import assert_same_run, curves
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_study import give_data, tiny_plan

from scoresweep.pipeline.cluster import Resources
from scoresweep.pipeline.data.dataset_store import read_split, write_store
from scoresweep.pipeline.errors import InputError, RunError, StoppedError
from scoresweep.pipeline.rules.train import train
from scoresweep.pipeline.training import run_log, setup, stop_requests
from scoresweep.pipeline.training.artifacts import write_artifacts
from scoresweep.pipeline.training.checkpoint import load_checkpoint, save_checkpoint
from scoresweep.pipeline.training.setup import make_trainer
from scoresweep.pipeline.training.step_noise import StepNoise
from scoresweep.pipeline.training.stop_requests import RequestPoll
from scoresweep.pipeline.training.trainer import Trainer
from scoresweep.pipeline.training.training_step import TrainingStep, local_batch_size
from scoresweep.pipeline.training.weights import load_history
from scoresweep.seeds import derive_seed

HERE = Resources()
# Background processes of scripts ignore SIGINT.
MAIN = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from scoresweep.pipeline.cli import main
main()
"""


pytestmark = pytest.mark.usefixtures("fresh_process")


@pytest.fixture(scope="module")
def undisturbed(staged, tmp_path_factory):
    """The tiny run, trained without a stop."""
    root = tmp_path_factory.mktemp("undisturbed")
    give_data(root, staged)
    return train_run(tiny_plan(root, keep={"every": 50}))


@pytest.mark.parametrize("steps", [[0], [40], [119], [60, 90, 100]])
def test_a_crashed_run_resumes_to_the_same_weights_and_curves(make_plan, undisturbed, steps):
    plan = make_plan()
    for step in steps:
        crash_at(plan, step)
    assert_same_run(train_run(plan), undisturbed)


def kill_training(command, training):
    training.kill()


def press_ctrl_c(command, training):
    """A terminal sends SIGINT to every process of the group."""
    os.killpg(command.pid, signal.SIGINT)


def terminate_command(command, training):
    """Schedulers do this."""
    command.terminate()


LONGER = {"steps": 400, "checkpoint": {"steps": 20}, "log": {"scalars": 20, "image_count": 0}}


@pytest.fixture(scope="module")
def undisturbed_longer(staged, tmp_path_factory):
    root = tmp_path_factory.mktemp("longer")
    give_data(root, staged)
    return train_run(tiny_plan(root, **LONGER))


@pytest.mark.parametrize(
    ("stop", "code", "message"),
    [
        (terminate_command, 143, "stopped on request at step"),
        pytest.param(kill_training, 0, "starting again", marks=pytest.mark.slow),
        pytest.param(press_ctrl_c, 130, "stopped on request at step", marks=pytest.mark.slow),
    ],
)
def test_the_command_can_be_stopped_and_resumed(make_plan, undisturbed_longer, stop, code, message):
    plan = make_plan(**LONGER)
    run, paths = plan.runs[0], plan.paths
    command = subprocess.Popen(
        [sys.executable, "-c", MAIN, "train", "study.yaml", "--run", run.id],
        cwd=paths.root,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not (paths.progress(run.id).exists() and any(paths.checkpoints(run.id).glob("step*"))):
        time.sleep(0.02)
    training = psutil.Process(json.loads(paths.progress(run.id).read_text())["pid"])
    stop(command, training)
    _, stderr = command.communicate()
    assert command.returncode == code
    assert message in stderr
    assert "Traceback" not in stderr
    assert not training.is_running()
    if code:
        assert not paths.weights(run.id).exists()
        time.sleep(1)  # TensorBoard orders the files of different processes by the second
        train_run(plan)
    assert_same_run(paths.run(run.id), undisturbed_longer)
    assert json.loads(paths.progress(run.id).read_text())["restarts"] == 1
    assert len(list(paths.checkpoints(run.id).iterdir())) == 1


@pytest.mark.parametrize(("number", "requeue"), [(signal.SIGTERM, False), (signal.SIGUSR2, True)])
def test_a_signal_saves_and_stops_after_the_step(
    make_plan, undisturbed, monkeypatch, number, requeue
):
    plan = make_plan()
    update = TrainingStep.update

    def update_with_signal(self, step):
        if step == 57:
            signal.raise_signal(number)
        return update(self, step)

    monkeypatch.setattr(TrainingStep, "update", update_with_signal)
    with pytest.raises(StoppedError, match="stopped on request at step 58") as stopped:
        train_run(plan)
    assert stopped.value.requeue == requeue
    monkeypatch.setattr(TrainingStep, "update", update)
    assert_same_run(train_run(plan), undisturbed)


def test_a_signal_during_setup_stops_before_the_first_step(make_plan, undisturbed, monkeypatch):
    plan = make_plan()
    folder = crash_at(plan, 52)
    before = sorted(path.stat().st_ino for path in folder.iterdir())
    prepare = Trainer._resume

    def stopping(self):
        signal.raise_signal(signal.SIGUSR2)
        prepare(self)

    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])  # as a launcher may leave it
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_resume", stopping)
        with pytest.raises(StoppedError, match="stopped on request at step 40"):
            train_run(plan)
    assert sorted(path.stat().st_ino for path in folder.iterdir()) == before
    assert_same_run(train_run(plan), undisturbed)


@pytest.mark.parametrize(("pace", "between"), [(0.01, 25), (0.5, 10), (20.0, 1)])
def test_several_processes_poll_every_five_seconds_or_at_every_point(monkeypatch, pace, between):
    clock, polls = SimpleNamespace(step=40), []
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0 + pace * clock.step)

    def all_reduce(_, *values):
        polls.append(clock.step)
        return values

    monkeypatch.setattr(stop_requests, "all_reduce_sum", all_reduce)
    accelerator = SimpleNamespace(num_processes=2, is_main_process=True)
    poll = RequestPoll(accelerator, set(), max_steps=25, step=40)
    for clock.step in range(40, 100):
        assert not poll.poll(clock.step, save_due=False).stop
    assert polls == [40, *range(41, 100, between)]


def test_a_run_that_belongs_to_another_job_is_not_written(make_plan, monkeypatch):
    plan = make_plan()
    run, paths, owned_to = plan.runs[0], plan.paths, SimpleNamespace(step=100)
    monkeypatch.setattr(run_log, "STATE_SECONDS", 0.0)  # the state is written at every point

    def check_owner():
        if trainer.step > owned_to.step:
            raise RunError("the run belongs to job 12")

    trainer = make_trainer(run, paths, gpus=0, check_owner=check_owner)
    with pytest.raises(RunError, match="belongs to job 12"):
        trainer.run()
    names = sorted(path.name for path in paths.checkpoints(run.id).iterdir())
    assert names == ["step-00000040", "step-00000080"]
    assert json.loads(paths.progress(run.id).read_text())["step"] == 100
    owned_to.step = run.train.steps
    trainer = make_trainer(run, paths, gpus=0, check_owner=check_owner)
    trainer.run()
    owned_to.step = 0
    with pytest.raises(RunError, match="belongs to job 12"):
        write_artifacts(trainer, run, paths)
    assert not paths.training_curves(run.id).exists()
    assert not paths.weights(run.id).exists()


def test_a_resumed_run_counts_its_restarts_and_all_its_seconds(make_plan, monkeypatch):
    plan = make_plan()
    folder = crash_at(plan, 52)
    saved = load_checkpoint(folder / "step-00000040")
    saved.values["seconds"] = 1000.0
    save_checkpoint(folder, saved, keep=1)
    attributes = curves(train_run(plan)).attrs
    assert attributes["restarts"] == 1
    assert attributes["seconds"] > 1000  # those before the crash are counted
    assert (attributes["device"], attributes["devices"]) == ("cpu", torch.get_num_threads())


def test_a_run_is_also_saved_every_few_minutes(make_plan, monkeypatch):
    plan = make_plan(checkpoint={"steps": 1000, "minutes": 0.1, "keep": 9})
    clock, update = SimpleNamespace(seconds=1000.0), TrainingStep.update

    def take_half_a_second(self, step):
        clock.seconds += 0.5
        return update(self, step)

    monkeypatch.setattr(time, "monotonic", lambda: clock.seconds)
    monkeypatch.setattr(TrainingStep, "update", take_half_a_second)
    folder = crash_at(plan, 52)
    names = [path.name for path in sorted(folder.iterdir())]
    assert names == ["step-00000012", "step-00000024", "step-00000036", "step-00000048"]


def test_options_reach_optimiser_and_loader(make_plan, monkeypatch):
    optimizer = {"learning_rate": 0.01, "schedule": "cosine", "warmup": 30}
    optimizer |= {"beta1": 0.5, "beta2": 0.7, "eps": 1e-3, "weight_decay": 0.2}
    plan = make_plan(optimizer=optimizer, flip=True)
    first, second = (make_trainer(run, plan.paths, gpus=0) for run in plan.runs)
    wanted = {"lr": 0.01, "betas": (0.5, 0.7), "eps": 1e-3, "weight_decay": 0.2}
    assert {key: first.training_step.optimizer.defaults[key] for key in wanted} == wanted
    assert first.training_step.loader.flip
    torch.manual_seed(5)
    again = make_trainer(plan.runs[0], plan.paths, gpus=0)
    weights = [trainer.network.first.weight for trainer in (first, again, second)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    used, average = [], TrainingStep._average

    def record(self, step, taken):
        used.append(self.optimizer.param_groups[0]["lr"])
        average(self, step, taken)

    monkeypatch.setattr(TrainingStep, "_average", record)
    rates = curves(train_run(plan)).learning_rate.values
    half_waves = [(step - 1 - 30) / 90 for step in (50, 75, 100, 120)]
    wanted = [0.01 * 25 / 30, *(0.005 * (1 + np.cos(np.pi * done)) for done in half_waves)]
    np.testing.assert_allclose(rates, wanted, rtol=1e-6)
    np.testing.assert_allclose([used[step - 1] for step in (25, 50, 75, 100, 120)], wanted)


@pytest.mark.parametrize("parts", [4])
def test_gradient_accumulation_changes_only_the_order_of_sums(make_plan, undisturbed, parts):
    ours = curves(train_run(make_plan(gradient_accumulation=parts)))
    np.testing.assert_allclose(ours.loss, curves(undisturbed).loss, rtol=1e-4)


def test_two_processes_train_the_same_network_as_one(make_plan, undisturbed):
    plan = make_plan(keep={"every": 50})
    run, paths = plan.runs[0], plan.paths
    finish(plan, processes=2)
    ours = xr.load_dataset(paths.training_curves(run.id))
    assert ours.attrs["processes"] == 2
    np.testing.assert_allclose(ours.loss, curves(undisturbed).loss, rtol=1e-4)
    np.testing.assert_allclose(
        ours.level_loss.values, curves(undisturbed).level_loss.values, rtol=1e-3
    )
    for file in ("model", "kept/step=50/model", "kept/step=100/model"):
        weights = load_file(paths.run(run.id) / f"{file}.safetensors")
        for name, value in load_file(undisturbed / f"{file}.safetensors").items():
            torch.testing.assert_close(weights[name], value, rtol=1e-3, atol=1e-4)


def test_a_run_whose_data_changed_starts_from_scratch(make_plan, capsys):
    old, new = make_plan("old"), make_plan("new")
    store = old.paths.dataset_store("digits")
    train_, test = read_split(store, "train"), read_split(store, "test")
    mirrored = {
        "train": replace(train_, values=np.ascontiguousarray(train_.values[:, :, ::-1])),
        "test": test,
    }
    train_run(old)
    for plan in (old, new):
        write_store(plan.paths.dataset_store("digits"), mirrored, {})
    old.paths.weights(old.runs[0].id).unlink()
    folder = train_run(old)
    assert "the dataset has changed since" in capsys.readouterr().err
    assert_same_run(folder, train_run(new))


def test_a_non_finite_loss_stops_the_run_and_names_step_and_level(make_plan, monkeypatch):
    plan = make_plan()
    draw, bad = StepNoise.__call__, []

    def broken(self, step, start, stop):
        levels, z, v = draw(self, step, start, stop)
        if step == 87:
            z[3] = float("nan")
            bad.append(int(levels[3]) + 1)
        return levels, z, v

    monkeypatch.setattr(StepNoise, "__call__", broken)
    with pytest.raises(RunError, match="not finite from step 88 on") as error:
        train_run(plan)
    run, paths = plan.runs[0], plan.paths
    assert f"on, at level {bad[0]} (sigma" in str(error.value)
    last = paths.checkpoints(run.id) / "step-00000080"
    assert f"The last good checkpoint is {last}." in str(error.value)
    assert "learning_rate" in str(error.value)
    assert [p.name for p in sorted(paths.checkpoints(run.id).iterdir())] == [
        "step-00000040",
        "step-00000080",
    ]
    state = json.loads(paths.progress(run.id).read_text())
    assert state["state"] == "failed"
    assert "step 88" in state["message"]
    assert not paths.weights(run.id).exists()


def test_non_finite_weights_are_not_saved(make_plan, monkeypatch):
    plan = make_plan()
    norm = TrainingStep._gradient_norm

    def add_infinity(self, step):
        if step == 79:  # the losses of this step, after which a checkpoint is due, are finite
            next(iter(self.network.parameters())).grad[0] = float("inf")
        return norm(self, step)

    monkeypatch.setattr(TrainingStep, "_gradient_norm", add_infinity)
    with pytest.raises(RunError, match="the weights are not finite after step 80"):
        train_run(plan)
    run, paths = plan.runs[0], plan.paths
    assert [p.name for p in paths.checkpoints(run.id).iterdir()] == ["step-00000040"]
    assert json.loads(paths.progress(run.id).read_text())["state"] == "failed"


def test_a_diverging_run_names_the_levels(make_plan):
    plan = make_plan(optimizer={"learning_rate": 1e30})
    with pytest.raises(RunError, match=r"not finite from step \d+ on, at level .*sigma"):
        train_run(plan)


def test_bf16_trains_as_well_as_float32(make_plan, undisturbed):
    ours = curves(train_run(make_plan(precision="bf16")))
    np.testing.assert_allclose(ours.loss, curves(undisturbed).loss, rtol=0.05)
    assert not np.array_equal(ours.loss, curves(undisturbed).loss)


@pytest.fixture
def half_precision(monkeypatch):
    """Make Accelerate train in fp16 with a loss scaler on a CPU, which it refuses to do.

    Returns the steps that the scaler skipped.
    """
    skipped, average = [], TrainingStep._average

    def make(precision, gpus):
        accelerator = Accelerator(cpu=True)
        accelerator.state._mixed_precision = "fp16"
        accelerator.native_amp = True
        # The first scales overflow; it grows into the next overflow every few steps.
        accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40, growth_interval=7)
        return accelerator

    def record(self, step, taken):
        (averaged,) = self.averages.values()
        before = [p.clone() for p in averaged.parameters()]
        average(self, step, taken)
        moved = any(
            not torch.equal(a, b) for a, b in zip(before, averaged.parameters(), strict=True)
        )
        assert moved == bool(taken)
        if not taken:
            skipped.append(step)

    monkeypatch.setattr(setup, "make_accelerator", make)
    monkeypatch.setattr(TrainingStep, "_average", record)
    return skipped


def test_fp16_resumes_its_scaler_and_skips_steps_that_overflow(
    make_plan, undisturbed, half_precision, monkeypatch
):
    whole = train_run(make_plan("whole"))
    skipped = half_precision.copy()
    assert skipped[0] == 0
    assert len([step for step in skipped if 40 < step < 60]) > 0
    assert len([step for step in skipped if step > 60]) > 0
    np.testing.assert_allclose(curves(whole).loss, curves(undisturbed).loss, rtol=0.5)
    plan = make_plan("broken")
    half_precision.clear()
    folder = crash_at(plan, 60)
    scaler = load_checkpoint(folder / "step-00000040").values["scaler"]
    assert scaler["scale"] < 2.0**40
    assert half_precision == [step for step in skipped if step < 60]
    half_precision.clear()
    assert_same_run(train_run(plan), whole)
    assert half_precision == [step for step in skipped if step >= 40]


def test_fp16_without_a_gpu_is_refused(make_plan):
    plan = make_plan(precision="fp16")
    with pytest.raises(InputError, match=r"train.precision: 'fp16': needs a GPU"):
        train(plan, plan.runs[0].id, HERE)


@pytest.mark.parametrize(("gpus", "processes"), [(4, 1), (2, 4)])
def test_a_number_of_processes_other_than_of_gpus_is_refused(make_plan, gpus, processes):
    plan = make_plan()
    expected = (
        f"--gpus {gpus} --processes {processes}: .*: --gpus {gpus} --processes {gpus} "
        rf"\(with snakemake: --set-resources train:gpu={gpus} train:processes={gpus}\)"
    )
    with pytest.raises(InputError, match=expected):
        train(plan, plan.runs[0].id, Resources(nodes=2, gpus=gpus, processes=processes))


def test_a_batch_that_cannot_be_split_evenly_is_refused(make_plan):
    train = make_plan(gradient_accumulation=4).runs[0].train
    assert local_batch_size(train, 8) == 8
    message = r"batch_size: 64: expected a multiple of 12 "
    with pytest.raises(InputError, match=message):
        local_batch_size(train, 3)


def test_a_batch_larger_than_the_dataset_is_refused(make_plan):
    plan = make_plan(batch_size=5000)
    message = r"batch_size: 5000: the dataset digits has only 1437"
    with pytest.raises(InputError, match=message) as error:
        train_run(plan)
    state = json.loads(plan.paths.progress(plan.runs[0].id).read_text())
    assert (state["state"], state["step"], state["steps"]) == ("failed", 0, 120)
    assert state["message"] == str(error.value)


def test_clipping_bounds_the_gradient(make_plan, undisturbed):
    free = curves(undisturbed)
    clipped = curves(train_run(make_plan(gradient_clip=1e-9, optimizer={"eps": 1.0})))
    assert (clipped.gradient_norm > 1).all()
    assert clipped.loss[-1] > 0.9 * clipped.loss[0]
    assert clipped.loss[-1] > 1.2 * free.loss[-1]


def test_averaged_weights_are_the_exponential_moving_average(make_plan, monkeypatch):
    seen = []
    average = TrainingStep._average

    def record(self, step, taken):
        average(self, step, taken)
        seen.append([p.detach().clone() for p in self.network.parameters()])

    monkeypatch.setattr(TrainingStep, "_average", record)
    plan = make_plan(ema=0.9, steps=30)
    trainer_start = []
    init = Trainer.__init__

    def keeping(self, *args, **kwargs):
        init(self, *args, **kwargs)
        trainer_start.append([p.detach().clone() for p in self.network.parameters()])

    monkeypatch.setattr(Trainer, "__init__", keeping)
    folder = train_run(plan)
    expected = trainer_start[0][0].double()
    for step, parameters in enumerate(seen):
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * parameters[0].double()
    weights = load_file(folder / "model.safetensors")
    torch.testing.assert_close(weights["first.weight"].double(), expected, rtol=1e-5, atol=1e-6)


def test_intermediate_weights_are_kept(make_plan, undisturbed):
    plan = make_plan(log={"scalars": 25, "image_count": 0, "weights": 50})
    folder = train_run(plan)
    history = load_history(folder / "history", plan.runs[0].train.network)
    assert list(history) == [0, 50, 100, 120]
    kept, final = history[120].state_dict(), load_file(undisturbed / "model.safetensors")
    assert all(torch.equal(kept[name], final[name]) for name in final)
    torch.manual_seed(derive_seed(0, "weights"))
    first = torch.nn.Linear(65, 16)  # the first layer of the tiny network, before any step
    assert torch.equal(history[0].first.weight, first.weight)
    assert not (undisturbed / "history").exists()


def test_sample_images_are_drawn_in_the_precision_of_the_run(make_plan):
    plan, seen = make_plan(precision="bf16"), []
    trainer = make_trainer(plan.runs[0], plan.paths, gpus=0)

    def picture(_):
        seen.append(torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None)
        return torch.zeros(1, 1, 8, 8)

    trainer.draw_samples = picture
    trainer.run()
    assert set(seen) == {torch.bfloat16}


def test_tensorboard_shows_curves_images_and_options(undisturbed):
    events = EventAccumulator(str(undisturbed / "tensorboard"), size_guidance={"images": 0})
    events.Reload()
    tags = events.Tags()
    assert {"loss/all_levels", "loss_of_level/0005", "speed/images_per_second"} <= set(
        tags["scalars"]
    )
    assert {"optimiser/gradient_norm", "optimiser/learning_rate"} <= set(tags["scalars"])
    assert [e.step for e in events.Images("samples/averaged_weights")] == [60, 120]
    picture = events.Images("samples/averaged_weights")[0]
    assert (picture.width, picture.height) == (129, 129)  # 2 × 64 and a line between
    assert "result/training_loss" in tags["scalars"]
