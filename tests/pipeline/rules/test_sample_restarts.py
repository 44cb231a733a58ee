"""Samples do not depend on processes, stops and damaged chunks; only what is missing is drawn."""

import multiprocessing
import resource
import threading
import time

import numpy as np
import psutil
import pytest
from sampled_study import assert_same_samples, draw, note_chunks, state_of
from tiny_study import save_untrained_networks

from scoresweep.pipeline.errors import RunError
from scoresweep.pipeline.rules.sample import sample
from scoresweep.pipeline.sampling import worker_pool
from scoresweep.pipeline.sampling.sampling_job import Devices

# Python 3.12 warns of every fork of a process with threads.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


def test_two_processes_draw_the_same_as_one(make_setting):
    one, two = make_setting("one"), make_setting("two")
    assert_same_samples(draw(two, processes=2), draw(one))
    assert not list(two.paths.results.rglob("*part*"))
    state = state_of(two)
    assert (state.state, state.step, state.steps) == ("done", 3, 3)


def test_two_commands_that_draw_the_same_setting_take_turns(make_setting, monkeypatch):
    plan, outcomes = make_setting(), []
    chunks = note_chunks(monkeypatch)

    def draw_it():
        sample(plan, plan.runs[0].id, plan.settings[0].id)
        outcomes.append("drawn")

    commands = [threading.Thread(target=draw_it) for _ in range(2)]
    for command in commands:
        command.start()
    for command in commands:
        command.join()
    assert outcomes == ["drawn", "drawn"]
    assert chunks == [0, 1, 2]


def test_gpus_are_assigned_round_robin():
    three = Devices(processes=3, gpus=2)
    assert [three.of_process(i) for i in range(3)] == ["cuda:0", "cuda:1", "cuda:0"]
    assert [Devices(processes, gpus=2).count for processes in (1, 2, 3)] == [1, 2, 2]
    assert Devices(processes=3, threads=2).count == 6


def test_a_stop_loses_only_the_interrupted_chunk(make_setting, monkeypatch):
    undisturbed = draw(make_setting("undisturbed"))
    plan = make_setting()
    with monkeypatch.context() as patch:
        assert note_chunks(patch, stop_before=2) == []
        with pytest.raises(KeyboardInterrupt):
            draw(plan)
    state = state_of(plan)
    assert (state.state, state.step, state.steps) == ("running", 2, 3)
    state.seconds = 1000.0
    state.write(plan.paths.samples_progress(plan.runs[0].id, plan.settings[0].store))
    chunks = note_chunks(monkeypatch)
    assert_same_samples(draw(plan), undisturbed)
    assert chunks == [2]
    state = state_of(plan)
    assert (state.state, state.step, state.restarts) == ("done", 3, 1)
    assert state.seconds > 1000  # those before the stop are counted
    assert not plan.paths.chunk_folder(plan.runs[0].id, plan.settings[0].store).exists()


def test_finished_samples_are_not_redrawn(make_setting, monkeypatch):
    plan = make_setting()
    draw(plan)
    chunks = note_chunks(monkeypatch)
    draw(plan)
    assert chunks == []


def test_samples_of_other_weights_are_redrawn(make_setting, capsys):
    plan = make_setting()
    first = draw(plan)
    save_untrained_networks(plan, seed=1)
    second = draw(plan)
    assert "other weights" in capsys.readouterr().err
    assert second.attrs["weights_sha256"] != first.attrs["weights_sha256"]
    assert not np.array_equal(second.image, first.image)


@pytest.mark.parametrize("damage", [lambda b: b[:0], lambda b: b[:1000], lambda b: b[:-1] + b"?"])
def test_a_damaged_chunk_is_named_and_redrawn(make_setting, monkeypatch, capsys, damage):
    undisturbed = draw(make_setting("undisturbed"))
    plan = make_setting()
    with monkeypatch.context() as patch:
        note_chunks(patch, stop_before=2)
        with pytest.raises(KeyboardInterrupt):
            draw(plan)
    parts = plan.paths.chunk_folder(plan.runs[0].id, plan.settings[0].store)
    damaged = sorted(parts.iterdir())[1]
    damaged.write_bytes(damage(damaged.read_bytes()))
    chunks = note_chunks(monkeypatch)
    assert_same_samples(draw(plan), undisturbed)
    assert chunks == [1, 2]
    assert f"{damaged} is damaged" in capsys.readouterr().err


def test_chunks_of_other_weights_are_not_used(make_setting, monkeypatch):
    plan = make_setting()
    with monkeypatch.context() as patch:
        note_chunks(patch, stop_before=2)
        with pytest.raises(KeyboardInterrupt):
            draw(plan)
    save_untrained_networks(plan, seed=1)
    with monkeypatch.context() as patch:
        note_chunks(patch, stop_before=0)
        with pytest.raises(KeyboardInterrupt):
            draw(plan)
    parts = plan.paths.chunk_folder(plan.runs[0].id, plan.settings[0].store)
    assert list(parts.iterdir()) == []
    chunks = note_chunks(monkeypatch)
    ours = draw(plan)
    assert chunks == [0, 1, 2]
    assert state_of(plan).restarts == 0
    other = make_setting("other")
    save_untrained_networks(other, seed=1)
    assert_same_samples(ours, draw(other))


@pytest.fixture
def fast_workers(monkeypatch):
    """Start workers by forking, without importing torch again."""
    monkeypatch.setattr(worker_pool, "START_METHOD", "fork")


def wait_for(condition):
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.05)
    raise TimeoutError


def test_a_killed_worker_is_reported_as_probably_out_of_memory(make_setting, fast_workers):
    plan = make_setting(count=100_000)
    parts = plan.paths.chunk_folder(plan.runs[0].id, plan.settings[0].store)

    def kill():
        wait_for(lambda: any(parts.glob("chunk-*")))
        multiprocessing.active_children()[0].kill()

    killer = threading.Thread(target=kill)
    killer.start()
    message = r"run seed=0_.*, setting .*probably out of memory.*sample\.chunk"
    with pytest.raises(RunError, match=message):
        draw(plan, processes=2)
    killer.join()
    assert state_of(plan).state == "failed"
    assert multiprocessing.active_children() == []


def test_the_other_workers_stop_after_their_chunk_if_one_fails(make_setting, fast_workers):
    """Each has 2,500 chunks to draw; one may open no more files."""
    plan = make_setting(count=100_000)
    parts = plan.paths.chunk_folder(plan.runs[0].id, plan.settings[0].store)

    def forbid():
        wait_for(lambda: len({int(path.stem[-6:]) % 2 for path in parts.glob("chunk-*")}) == 2)
        worker = multiprocessing.active_children()[0]
        resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (0, 0))

    forbidding = threading.Thread(target=forbid)
    forbidding.start()
    with pytest.raises(Exception, match="Too many open files"):
        draw(plan, processes=2)
    forbidding.join()
    assert len(list(parts.glob("chunk-*"))) < 2500


def test_workers_end_with_the_process_that_started_them(make_setting, fast_workers):
    plan = make_setting(count=100_000)
    parent = multiprocessing.get_context("fork").Process(
        target=sample, args=(plan, plan.runs[0].id, plan.settings[0].id, Devices(2))
    )
    parent.start()
    parts = plan.paths.chunk_folder(plan.runs[0].id, plan.settings[0].store)
    wait_for(lambda: len(list(parts.glob("chunk-*"))) > 2)
    workers = psutil.Process(parent.pid).children()
    parent.kill()
    parent.join()
    assert len(workers) >= 2
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert alive == []
