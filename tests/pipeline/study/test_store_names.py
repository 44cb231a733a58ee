"""Names of sample stores do not depend on the number of samples; earlier names are found."""

import json
from pathlib import Path

import pytest
from tiny_study import TINY

from scoresweep.pipeline.study import Sample, parse_study, plan_study
from scoresweep.pipeline.study.config import content_hash
from scoresweep.pipeline.study.load import parse_yaml


def plan(root, counts):
    content = parse_yaml(TINY, "tiny.yaml")
    content["sample"].pop("count")
    content["sample"]["grid"] = {"count": counts}
    return plan_study(parse_study(content, "tiny.yaml"), Path(root))


def earlier_store(found, count, held=None):
    """Write the manifest of a store that was named by its count; return its name."""
    sample = found.settings[0].sample.model_copy(update={"count": count})
    name = f"count={count}_{content_hash(sample)}"
    path = found.paths.samples_manifest(found.runs[0].id, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    now = sample.model_copy(update={"count": held or count})
    path.write_text(json.dumps({"count": held or count, "sample": now.model_dump_json()}))
    return name


def names(found):
    return {setting.sample.count: setting.store for setting in found.settings}


def test_settings_that_differ_in_count_share_a_store(tmp_path):
    found = plan(tmp_path, [50, 90, 1000])
    assert len(set(names(found).values())) == 1
    assert len({setting.id for setting in found.settings}) == 3
    assert "count" not in found.settings[0].store
    assert names(plan(tmp_path, [70]))[70] == found.settings[0].store


@pytest.mark.parametrize("counts", [[50], [90], [50, 90], [90, 50], [20], [1000, 90, 50]])
@pytest.mark.parametrize("held", [50, 90])
def test_an_earlier_store_is_extended_under_its_name(tmp_path, counts, held):
    name = earlier_store(plan(tmp_path, [50]), 50, held)
    assert set(names(plan(tmp_path, counts)).values()) == {name}


def test_earlier_stores_of_several_counts_are_used_as_they_are(tmp_path):
    found = plan(tmp_path, [50])
    small, large = earlier_store(found, 50), earlier_store(found, 90)
    assert names(plan(tmp_path, [50, 90])) == {50: small, 90: large}
    assert names(plan(tmp_path, [2000]))[2000] == large


def test_a_damaged_manifest_of_an_earlier_store_is_ignored(tmp_path):
    found = plan(tmp_path, [50])
    name = earlier_store(found, 50)
    found.paths.samples_manifest(found.runs[0].id, name).write_text("{")
    assert names(plan(tmp_path, [90]))[90] != name
    assert names(plan(tmp_path, [50]))[50] == name


def test_the_default_count_names_a_store(tmp_path):
    """Stores of earlier versions with the default count have today's names."""
    found = plan(tmp_path, [50])
    sample = found.settings[0].sample
    default = Sample.model_fields["count"].default
    hashed = content_hash(sample.model_copy(update={"count": default}))
    assert found.settings[0].store == hashed
