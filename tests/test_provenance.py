import subprocess
from importlib.metadata import version
from pathlib import Path

from scoresweep import provenance as module
from scoresweep.provenance import provenance


def git(folder, *arguments):
    name = ("-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run(["git", "-C", folder, *name, *arguments], check=True, capture_output=True)


def installed_in(folder, monkeypatch):
    """Pretend that the program lies in `folder`; return the file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "provenance.py").write_text("1\n")
    monkeypatch.setattr(module, "__file__", str(folder / "provenance.py"))
    return folder / "provenance.py"


def test_a_checkout_is_named_with_whether_it_was_changed(tmp_path, monkeypatch):
    file = installed_in(tmp_path / "src", monkeypatch)
    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "x")
    head = subprocess.check_output(["git", "-C", tmp_path, "rev-parse", "HEAD"], text=True).strip()
    assert (provenance()["commit"], provenance()["uncommitted_changes"]) == (head, False)
    file.write_text("2\n")
    assert (provenance()["commit"], provenance()["uncommitted_changes"]) == (head, True)


def test_a_repository_that_merely_holds_the_installation_is_not_named(tmp_path, monkeypatch):
    (tmp_path / "other.txt").touch()
    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "x")
    installed_in(tmp_path / ".venv" / "lib", monkeypatch)
    assert (provenance()["commit"], provenance()["uncommitted_changes"]) == ("", False)


def test_without_git_the_commit_is_empty(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert provenance()["commit"] == ""


def test_versions_and_machine_are_named(monkeypatch):
    monkeypatch.setattr(module, "PACKAGES", ("numpy", "no-such-package"))
    found = provenance()
    assert found["versions"] == {"numpy": version("numpy"), "no-such-package": ""}
    assert found["cores"] >= 1
    assert found["created"].endswith("+00:00")
    if Path("/proc/cpuinfo").exists():
        assert found["processor"]
