import hashlib
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
from importlib.metadata import version

import pytest
import torch

from scoresweep.pipeline.system import provenance as module
from scoresweep.pipeline.system.provenance import (
    append_start,
    provenance,
    snapshot_code,
    update_provenance,
)


def git(folder, *arguments):
    name = ("-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run(["git", "-C", folder, *name, *arguments], check=True, capture_output=True)


def installed_in(folder, monkeypatch):
    """Pretend that the package is installed in `folder`; return its file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "__init__.py").write_text("1\n")
    monkeypatch.setattr(module, "PACKAGE", folder)
    return folder / "__init__.py"


def test_the_commit_and_uncommitted_changes_are_recorded(tmp_path, monkeypatch):
    file = installed_in(tmp_path / "src", monkeypatch)
    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "x")
    head = subprocess.check_output(["git", "-C", tmp_path, "rev-parse", "HEAD"], text=True).strip()
    assert (provenance()["commit"], provenance()["uncommitted_changes"]) == (head, False)
    file.write_text("2\n")
    assert (provenance()["commit"], provenance()["uncommitted_changes"]) == (head, True)
    file.write_text("1\n")
    (tmp_path / "notes.txt").touch()
    assert not provenance()["uncommitted_changes"]
    (tmp_path / "src" / "new.py").touch()
    assert provenance()["uncommitted_changes"]


def test_a_repository_that_only_contains_the_installation_is_ignored(tmp_path, monkeypatch):
    (tmp_path / "other.txt").touch()
    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "x")
    installed_in(tmp_path / ".venv" / "lib", monkeypatch)
    assert (provenance()["commit"], provenance()["uncommitted_changes"]) == ("", False)


def test_the_repository_of_a_git_hook_is_ignored(tmp_path, monkeypatch):
    mine, hook = tmp_path / "mine", tmp_path / "hook"
    installed_in(mine / "src", monkeypatch)
    hook.mkdir()
    (hook / "other.txt").touch()
    for folder in (mine, hook):
        git(folder, "init")
        git(folder, "add", ".")
        git(folder, "commit", "-m", folder.name)
    expected = provenance()["commit"]
    monkeypatch.setenv("GIT_DIR", str(hook / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(hook))
    assert expected
    assert provenance()["commit"] == expected


def test_without_git_the_commit_is_empty(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert provenance()["commit"] == ""


def test_versions_and_host_are_recorded(monkeypatch):
    monkeypatch.setattr(module, "PACKAGES", ("numpy", "no-such-package"))
    found = provenance()
    assert found["versions"] == {"numpy": version("numpy"), "no-such-package": ""}
    assert found["cores"] >= 1
    assert found["created"].endswith("+00:00")


def test_without_proc_and_affinity_the_processor_comes_from_sysctl(tmp_path, monkeypatch):
    """As on macOS."""
    sysctl = tmp_path / "sysctl"
    sysctl.write_text('#!/bin/sh\necho "Chip $*"\n')
    sysctl.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(module, "CPUINFO", tmp_path / "missing")
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    found = provenance()
    assert found["processor"] == "Chip -n machdep.cpu.brand_string"
    assert found["cores"] == os.cpu_count()
    sysctl.unlink()
    assert provenance()["processor"] == platform.processor()


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository whose only commit holds the package and a picture."""
    top = tmp_path / "checkout"
    installed_in(top / "src" / "scoresweep", monkeypatch)
    (top / "workflow").mkdir()
    (top / "workflow" / "a.smk").write_text("rule a:\n")
    (top / "picture.bin").write_bytes(bytes(range(256)))
    (top / ".gitignore").write_text("*.pyc\n")
    git(top, "init")
    git(top, "config", "color.ui", "always")
    git(top, "config", "diff.noprefix", "true")
    git(top, "add", ".")
    git(top, "commit", "-m", "x")
    return top


def start(folder):
    """Append a start of a run in `folder`; return it."""
    append_start(folder / "provenance.json", folder / "code")
    return json.loads((folder / "provenance.json").read_text())["starts"][-1]


def test_the_patch_turns_the_commit_into_the_code_that_ran(checkout, tmp_path):
    src = checkout / "src" / "scoresweep"
    (src / "provenance.py").write_bytes(b"2  \r\n\xe9\n")
    (src / "new file.py").write_text("é\n")
    (src / "new.bin").write_bytes(bytes(range(256)))
    (src / "cache.pyc").touch()
    (checkout / "workflow" / "a.smk").unlink()
    (checkout / "picture.bin").write_bytes(bytes(reversed(range(256))))
    (checkout / "notes.txt").write_text("mine\n")
    patch = start(tmp_path / "run")["patch"]
    path = tmp_path / "run" / "code" / patch
    assert patch == hashlib.sha256(path.read_bytes()).hexdigest()[:12] + ".patch"
    again = tmp_path / "again"
    git(tmp_path, "clone", checkout, again)
    git(again, "apply", path)
    for folder in (again, checkout):
        shutil.rmtree(folder / ".git")
    (checkout / "notes.txt").unlink()
    (src / "cache.pyc").unlink()
    assert contents(again) == contents(checkout)


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_clean_checkout_has_no_patch(checkout, tmp_path):
    head = subprocess.check_output(["git", "-C", checkout, "rev-parse", "HEAD"], text=True).strip()
    first = start(tmp_path / "run")
    assert (first["commit"], first["patch"]) == (head, None)
    assert [p.name for p in (tmp_path / "run" / "code").iterdir()] == [first["environment"]]


def give_away(folder, owner):
    for path in (folder, *folder.rglob("*")):
        os.chown(path, owner, owner)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_commit_of_another_users_checkout_is_recorded(checkout, tmp_path, capsys):
    head = subprocess.check_output(["git", "-C", checkout, "rev-parse", "HEAD"], text=True).strip()
    (checkout / "src" / "scoresweep" / "new.py").touch()
    give_away(checkout, 12345)
    first = start(tmp_path / "run")
    assert first["commit"] == head
    assert "new.py" in (tmp_path / "run" / "code" / first["patch"]).read_text()
    assert capsys.readouterr().err == ""
    # The repository belongs neither to this user nor to the owner of the code: not trusted.
    give_away(checkout / ".git", 54321)
    assert start(tmp_path / "run")["commit"] == ""
    said = capsys.readouterr().err
    assert said.count(f"{checkout}: ") == 1
    assert "git config --global --add safe.directory" in said


def test_outside_a_checkout_only_the_hash_is_recorded(tmp_path, monkeypatch):
    folder = tmp_path / "site-packages" / "scoresweep"
    file = installed_in(folder, monkeypatch)
    first = start(tmp_path / "run")
    assert (first["commit"], first["patch"]) == ("", None)
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "a.pyc").touch()
    assert start(tmp_path / "run")["source_sha256"] == first["source_sha256"]
    file.write_text("2\n")
    changed = start(tmp_path / "run")["source_sha256"]
    assert changed != first["source_sha256"]
    file.rename(folder / "renamed.py")
    assert start(tmp_path / "run")["source_sha256"] not in (changed, first["source_sha256"])


def test_every_installed_package_is_listed(tmp_path):
    name = start(tmp_path)["environment"]
    lines = (tmp_path / "code" / name).read_text().splitlines()
    assert lines[0] == f"# Python {platform.python_version()}"
    assert lines[1].startswith(f"# torch {torch.__version__}, CUDA {torch.version.cuda}")
    assert {f"{p}=={version(p)}" for p in ("numpy", "scoresweep", "pytest")} <= set(lines)


def test_a_node_without_git_uses_the_snapshot_of_the_launching_process(
    checkout, tmp_path, monkeypatch, capsys
):
    source = checkout / "src" / "scoresweep"
    (source / "new.py").write_text("3\n")
    folder, path = tmp_path / "code", tmp_path / "provenance.json"
    kept = snapshot_code(folder)
    assert kept.commit
    assert (folder / kept.patch).exists()
    monkeypatch.setenv("PATH", "/nowhere")
    append_start(path, folder, kept)
    assert capsys.readouterr().err == ""
    content = json.loads(path.read_text())
    assert content["starts"][0] | vars(kept) == content["starts"][0]
    assert (content["commit"], content["uncommitted_changes"]) == (kept.commit, True)
    (source / "new.py").write_text("4\n")  # while the job waited
    append_start(path, folder, kept)
    assert f"{checkout}: " in capsys.readouterr().err
    start = json.loads(path.read_text())["starts"][1]
    assert (start["commit"], start["patch"]) == ("", None)
    assert start["source_sha256"] != kept.source_sha256


def test_a_snapshot_does_not_import_torch(tmp_path):
    code = (
        "import sys; from pathlib import Path; "
        "from scoresweep.pipeline.system.provenance import snapshot_code; "
        "snapshot_code(Path(sys.argv[1])); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path], check=True)


@pytest.mark.parametrize("text", ["", '{"starts": [{"ti', "null"])
def test_a_damaged_file_is_reported_and_replaced(tmp_path, capsys, text):
    path = tmp_path / "provenance.json"
    path.write_text(text)
    start(tmp_path)
    assert len(json.loads(path.read_text())["starts"]) == 1
    assert f"{path}: is damaged" in capsys.readouterr().err


def test_starts_are_appended_and_share_identical_files(checkout, tmp_path, monkeypatch):
    for name in ("SLURM_JOB_ID", "SLURM_JOB_NODELIST", "SLURM_RESTART_COUNT", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    start(tmp_path)
    slurm = {
        "SLURM_JOB_ID": "12",
        "SLURM_JOB_NODELIST": "n[1-2]",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_RESTART_COUNT": "3",
        "WORLD_SIZE": "4",
    }
    for name, value in slurm.items():
        monkeypatch.setenv(name, value)
    (checkout / "workflow" / "a.smk").write_text("rule b:\n")
    start(tmp_path)
    (checkout / "workflow" / "a.smk").write_text("rule c:\n")
    update_provenance(tmp_path / "provenance.json", {"seconds": 7.0})
    content = json.loads((tmp_path / "provenance.json").read_text())
    where = ("hosts", "slurm_job", "slurm_restarts", "processes", "nodes")
    assert [tuple(start[key] for key in where) for start in content["starts"]] == [
        (socket.gethostname(), None, 0, 1, 1),
        ("n[1-2]", "12", 3, 4, 2),
    ]
    assert content["starts"][0]["environment"] == content["starts"][1]["environment"]
    assert len(list((tmp_path / "code").iterdir())) == 2
    assert content["seconds"] == 7.0
    assert content["uncommitted_changes"] is True
    assert content["commit"] == content["starts"][1]["commit"]
