"""Real files of torch.save and safetensors, whole and damaged."""

import io
import struct
import zipfile
from argparse import Namespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.training.weight_files.parameters import plain_parameters
from scoresweep.pipeline.training.weight_files.read import read_content

STATE = {f"layer{i}.weight": torch.randn(8, 5) for i in range(4)}
EXPECTED = "expected weights"


def saved(path, content=STATE, zipped=True):
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


def same(found, state=STATE):
    return found.keys() == state.keys() and all(torch.equal(found[k], state[k]) for k in state)


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_saved_tensors_are_read_and_checksums_verified(tmp_path, kind):
    path = tmp_path / "a.pth"
    if kind == "safetensors":
        save_file(STATE, path)
    else:
        saved(path, zipped=kind == "zip")
    content = read_content(path, EXPECTED)
    assert same(content.value)
    assert content.has_checksums == (kind == "zip")


def test_an_archive_without_checksums_is_recognised(tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        path = saved(tmp_path / "a.pth")
    finally:
        torch.serialization.set_crc32_options(True)
    content = read_content(path, EXPECTED)
    assert same(content.value)
    assert not content.has_checksums


def test_a_flipped_bit_in_a_tensor_or_in_the_pickle_is_named(tmp_path):
    content = saved(tmp_path / "a.pth").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.pth") as archive:
        members = {m.filename: m.header_offset for m in archive.infolist() if m.file_size}
    for name, offset in members.items():
        length, extra = struct.unpack("<HH", content[offset + 26 : offset + 30])
        damaged = bytearray(content)
        damaged[offset + 30 + length + extra] ^= 0x40
        (tmp_path / "b.pth").write_bytes(damaged)
        with pytest.raises(InputError, match=f"b.pth: is damaged: the checksum of {name} "):
            read_content(tmp_path / "b.pth", EXPECTED)


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_with_any_damaged_byte_the_file_is_refused_or_its_tensors_are_read(tmp_path, kind):
    """Tensors of a zip archive are correct; other formats have no checksums."""
    path = tmp_path / "a.pth"
    if kind == "safetensors":
        save_file(STATE, path)
    else:
        saved(path, zipped=kind == "zip")
    content = path.read_bytes()
    draw = np.random.default_rng(0)
    refused = []
    for position in draw.integers(len(content), size=150):
        damaged = bytearray(content)
        damaged[position] ^= 1 << int(draw.integers(8))
        path.write_bytes(damaged)
        try:
            found = read_content(path, EXPECTED).value
        except InputError as error:
            refused.append(len(str(error)))
            continue
        assert kind != "zip" or same(found)
    assert len(refused) > 10
    assert max(refused) < 600


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(tmp_path, zipped, share):
    path = saved(tmp_path / "a.pth", zipped=zipped)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=r"a.pth: .*(cut short|damaged).*copy it again"):
        read_content(path, EXPECTED)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("content", "name"),
    [
        (nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
        ([STATE, np.ones(2)], "numpy"),
        ({"model": STATE, "args": Namespace(lr=1)}, "argparse.Namespace"),
    ],
)
def test_objects_are_named_and_the_advice_of_pytorch_is_not_repeated(
    tmp_path, content, name, zipped
):
    with pytest.raises(InputError) as raised:
        read_content(saved(tmp_path / "a.pth", content, zipped), EXPECTED)
    message = str(raised.value)
    assert name in message
    assert "weights_only" not in message
    assert len(message) < 500


@pytest.mark.parametrize("zipped", [True, False])
def test_numbers_of_numpy_are_read(tmp_path, zipped):
    values = [np.float64(0.1), np.float32(0.5), np.int64(-3), np.bool_(True)]
    found = read_content(saved(tmp_path / "a.pth", [STATE, values], zipped), EXPECTED).value[1]
    assert found == values
    assert [type(value) for value in found] == [float, float, int, bool]
    with pytest.raises(InputError, match="numpy"):
        read_content(saved(tmp_path / "a.pth", [STATE, np.str_("a")], zipped), EXPECTED)


def test_a_checkpoint_of_edm_is_named(tmp_path):
    """torch.save writes a pickle with the names of its objects; only those are needed here."""
    path = saved(tmp_path / "a.pt", [STATE, Namespace(a=1)])
    content = io.BytesIO()
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(content, "w") as copy:
        for member in archive.infolist():
            data = archive.read(member).replace(
                b"cargparse\nNamespace\n", b"ctorch_utils.persistence\n_reconstruct\n"
            )
            copy.writestr(member.filename, data)
    path.write_bytes(content.getvalue())
    with pytest.raises(InputError, match="a checkpoint of EDM"):
        read_content(path, EXPECTED)


def test_files_of_other_kinds_are_refused_with_advice(tmp_path):
    (tmp_path / "a.pth").write_bytes(b"\x82\xa6params\x81\xa1a\xc0")
    with pytest.raises(InputError, match=r"a.pth: is a Flax checkpoint .*; expected weights$"):
        read_content(tmp_path / "a.pth", EXPECTED)
    (tmp_path / "a.pth").write_bytes(b"")
    with pytest.raises(InputError, match=r"a.pth: is an empty file; download or copy it again$"):
        read_content(tmp_path / "a.pth", EXPECTED)


# ── single tensors ──────────────────────────────────────────────────────────────────────────────


def quantised():
    return torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)


ODD = {
    "sparse": (lambda: torch.eye(3).to_sparse(), "stored as sparse_coo"),
    "rows": (lambda: torch.eye(3).to_sparse_csr(), "stored as sparse_csr"),
    "nested": (
        lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
        "stored as nested",
    ),
    "quantised": (quantised, "quantised"),
    "meta": (lambda: torch.ones(2, device="meta"), "no values"),
    "complex": (lambda: torch.ones(2, dtype=torch.complex64), "complex64"),
    "conjugate": (lambda: torch.ones(2, dtype=torch.complex64).conj(), "complex64"),
    "integer": (lambda: torch.ones(2, dtype=torch.int8), "int8"),
    "boolean": (lambda: torch.ones(2, dtype=torch.bool), "bool"),
    "float8": (lambda: torch.ones(2).to(torch.float8_e4m3fn), "float8_e4m3fn"),
    "empty": (lambda: torch.ones(0, 3), r"\(0, 3\)"),
    "nan": (lambda: torch.tensor([0, float("nan")]), "not finite"),
    "inf": (lambda: torch.tensor([0, -float("inf")]), "not finite"),
    "huge": (lambda: torch.tensor([0.1, -6e37]), "-6e[+]37"),
    "double": (lambda: torch.tensor([0.1, 1e300], dtype=torch.float64), r"1e[+]300"),
    "number": (lambda: 3.5, "float"),
    "nothing": (lambda: None, "NoneType"),
}


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
@pytest.mark.parametrize("name", ODD)
def test_an_unsupported_tensor_is_refused_by_name(tmp_path, name):
    make, what = ODD[name]
    path = saved(tmp_path / "a.pth", {"right": torch.ones(2), f"the.{name}": make()})
    with pytest.raises(ValueError, match=f"^the.{name} .*{what}"):
        plain_parameters(read_content(path, EXPECTED).value)


def test_exactly_convertible_tensors_are_read(tmp_path):
    values = torch.tensor([[0.5, -1.25], [2.0, 3.0]])
    state = {
        "expanded": torch.tensor([0.5]).expand(3),
        "view": values.T[1:],
        "bfloat16": values.bfloat16(),
        "float16": values.half(),
        "float64": values.double(),
        "parameter": nn.Parameter(values),
        "negative": torch._neg_view(values),
        "scalar": torch.tensor(2.0),
    }
    found = plain_parameters(read_content(saved(tmp_path / "a.pth", state), EXPECTED).value)
    assert found.keys() == state.keys()
    assert found["expanded"].tolist() == [0.5, 0.5, 0.5]
    assert found["view"].tolist() == [[-1.25, 3.0]]
    for name in ("bfloat16", "float16", "float64", "parameter"):
        assert torch.equal(found[name].float(), values)
    assert torch.equal(found["negative"], -values)
    assert not found["parameter"].requires_grad


def test_wrapper_prefixes_are_removed():
    network = nn.Sequential(nn.Linear(2, 1))
    expected = network.state_dict()
    assert same(plain_parameters(nn.DataParallel(network).state_dict()), expected)
    # torch.compile adds this part; the import of its compiler takes seconds.
    compiled = {f"module._orig_mod.{name}": value for name, value in expected.items()}
    assert same(plain_parameters(compiled), expected)


def test_names_equal_without_prefixes_are_refused():
    with pytest.raises(ValueError, match=r"^module.a "):
        plain_parameters({"a": torch.ones(1), "module.a": torch.ones(1)})
    with pytest.raises(ValueError, match=r"names .*: 0, 1$"):
        plain_parameters({0: torch.ones(1), 1: torch.ones(1)})


def test_a_long_list_of_problems_is_shortened():
    state = {f"layer{i}": None for i in range(1000)}
    with pytest.raises(ValueError, match=r"and 997 more$") as raised:
        plain_parameters(state)
    assert len(str(raised.value)) < 500
