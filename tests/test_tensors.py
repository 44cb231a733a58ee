import errno
import subprocess
import sys

import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from scoresweep import tensors
from scoresweep.tensors import write_tensors


def test_tensors_come_back_whatever_their_layout(tmp_path):
    image = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    view = torch.arange(6.0).reshape(2, 3).T
    write_tensors(tmp_path / "file", {"image": image, "view": view}, {"what": "test"})
    found = load_file(tmp_path / "file")
    assert torch.equal(found["image"], image)
    assert torch.equal(found["view"], view)
    with safe_open(tmp_path / "file", framework="pt") as file:
        assert file.metadata() == {"what": "test"}


LIMITED = """
import resource
import sys
import torch
from pathlib import Path
from scoresweep.tensors import write_tensors

resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    write_tensors(Path(sys.argv[1]), {"x": torch.zeros(100_000)})
except OSError as error:
    print(error.errno, error.filename)
"""


def test_a_limit_on_the_size_of_files_is_an_oserror_that_names_the_file(tmp_path):
    command = [sys.executable, "-c", LIMITED, str(tmp_path / "file")]
    output = subprocess.check_output(command, text=True)
    assert output == f"{errno.EFBIG} {tmp_path / 'file'}\n"


@pytest.mark.parametrize(
    ("code", "error"),
    [(errno.ENOSPC, OSError), (errno.EDQUOT, OSError), (errno.EACCES, SafetensorError)],
)
def test_a_full_disk_is_told_from_other_errors(tmp_path, monkeypatch, code, error):
    def fail(*_arguments, **_options):
        raise SafetensorError(f"Error while serializing: I/O error: some words (os error {code})")

    monkeypatch.setattr(tensors, "save_file", fail)
    with pytest.raises(error) as raised:
        write_tensors(tmp_path / "file", {})
    assert getattr(raised.value, "errno", code) == code
