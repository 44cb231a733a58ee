"""Published values of a study: what they are of, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from faked_study import CONTENT

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study import Plan, parse_study, plan_study
from scoresweep.pipeline.study.published import published_hash

SOURCE = {"source": "Table 1, https://example.org"}
STEP = "sample.sampler.step_size"


def plan(*published: dict[str, Any]) -> Plan:
    content = CONTENT | {"published": list(published)} if published else CONTENT
    return plan_study(parse_study(content, "study.yaml"), Path("none"))


def test_published_values_change_no_id_and_no_configuration():
    plain, with_values = plan(), plan({"frechet_classifier": 3, **SOURCE})
    for kind in ("runs", "settings"):
        ids = [[each.id for each in getattr(p, kind)] for p in (plain, with_values)]
        assert ids[0] == ids[1]
    assert plain.evaluate_hash() == with_values.evaluate_hash()
    assert "published" not in plain.study.model_dump()
    hashes = [
        published_hash(plan({"frechet_classifier": v, **SOURCE}).study.published) for v in (3, 4)
    ]
    assert len({published_hash(plain.study.published), *hashes}) == 3


def test_one_entry_needs_no_list():
    content = CONTENT | {"published": {"frechet_classifier": 3, **SOURCE}}
    (entry,) = parse_study(content, "study.yaml").published
    assert entry.values == {"frechet_classifier": 3.0}


@pytest.mark.parametrize(
    ("at", "runs", "settings"),
    [
        ({}, 4, 3),
        ({STEP: 2e-5}, 4, 1),
        ({"sample.sampler": {"name": "annealed_langevin", "step_size": 2e-5}}, 4, 1),
        ({"train.noise": {"levels": 6}, "train.seed": 1, "dataset.name": "digits"}, 1, 3),
        ({"sample.noise": None, "sample.sampler.denoise": True}, 4, 3),
    ],
)
def test_at_names_options_by_path(at: dict[str, Any], runs: int, settings: int):
    found = plan({"frechet_classifier": 3, "at": at, **SOURCE})
    (entry,) = found.study.published
    assert sum(entry.is_of(dataset=r.dataset, train=r.train) for r in found.runs) == runs
    assert sum(entry.is_of(sample=s.sample) for s in found.settings) == settings


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({"frechet_classifier": 3}, r"published\[0\].source: is missing"),
        (SOURCE, r"published\[0\]: expected the value of at least one measure"),
        ({"frechet_classifier": "3", **SOURCE}, r"frechet_classifier: '3': expected a number"),
        ({"fid": 3, **SOURCE}, r"published\[0\]\.fid: .*frechet_classifier"),
        ({"bits_per_dimension": 3, **SOURCE}, r"published\[0\]\.bits_per_dimension: "),
        ({"at": {"sampler.denoise": True}}, r"at\.sampler\.denoise: .* train, sample"),
        ({"at": {"sample.sampler.denois": True}}, r"denois: .*Did you mean 'denoise'"),
        ({"at": {STEP: 3e-5}}, r"at\.sample\.sampler\.step_size: 3e-05: .* 8e-05, 5e-06, 2e-05"),
        ({"at": {STEP: "2e-5"}}, r"at\.sample\.sampler\.step_size: '2e-5' \(text\): .* 8e-05, "),
        ({"at": {"sample.sampler.denoise": 1}}, r"at\.sample\.sampler\.denoise: 1: .* true$"),
        (
            {"at": {"sample.sampler": {"step_size": 1.0, "denoise": True}}},
            r"at\.sample\.sampler\.step_size: 1\.0: .* one of 8e-05, 5e-06, 2e-05$",
        ),
        (
            {"at": {"train": {"noise": {"levels": 6}, "seed": 2}}},
            r"at\.train\.seed: 2: .* one of 0, 1$",
        ),
        ({"frechet_classifier": 3, **SOURCE, "At": {}}, r"At: .*a number\. Did you mean 'at'"),
        ({"frechet_classifier": 3, "source": "  "}, r"published\[0\]\.source: '  ': .*1 character"),
        (
            {"at": {STEP: 2e-5, "sample": {"sampler": {"step_size": 5e-6}}}},
            r'published\[0\]\.at: {"sample\.sampler\.step_size": 2e-05.* no setting',
        ),
    ],
)
def test_what_the_study_does_not_have_is_refused(entry: dict[str, Any], problem: str):
    complete = entry if "at" not in entry else entry | {"frechet_classifier": 3, **SOURCE}
    with pytest.raises(InputError, match=problem):
        plan(complete)
