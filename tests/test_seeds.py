import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scoresweep.seeds import derive_seed, generator_for

parts = st.lists(st.one_of(st.integers(), st.text(max_size=5)), max_size=4)


def test_seeds_do_not_change_between_versions():
    """A change here would change every sample and every trained network."""
    assert derive_seed(0, "sample", 3) == 5041318349904775329
    assert derive_seed("max_distance") == 4018748291002998563


@settings(max_examples=30)
@given(parts, parts)
def test_only_equal_parts_give_equal_seeds(first, second):
    assert (derive_seed(*first) == derive_seed(*second)) == (first == second)
    assert 0 <= derive_seed(*first) < 2**63


def test_seeds_depend_on_boundaries_and_types_of_parts():
    similar = [("ab",), ("a", "b"), (1, 2), (12,), ("1", "2"), (1, "2"), ("", "ab"), ()]
    assert len({derive_seed(*parts) for parts in similar}) == len(similar)


def test_generators_are_seeded_with_derived_seeds():
    ours = torch.randn(5, generator=generator_for(0, "x"))
    assert torch.equal(ours, torch.randn(5, generator=generator_for(0, "x")))
    theirs = torch.Generator().manual_seed(derive_seed(0, "x"))
    assert torch.equal(ours, torch.randn(5, generator=theirs))
    assert generator_for("x", device="cpu").device == torch.device("cpu")
