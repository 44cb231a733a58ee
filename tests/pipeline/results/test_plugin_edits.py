"""What an edited plugin makes due is named with the edit, and nothing else is."""

from __future__ import annotations

import pytest
from plugin_study import METHODS, plan_in
from tiny_study import give_data, save_untrained_networks

from scoresweep.pipeline.commands.plan import print_plan
from scoresweep.pipeline.results import examine_results
from scoresweep.pipeline.results.plugin_copies import keep_copies
from scoresweep.pipeline.results.plugin_edits import Edit, find_edits
from scoresweep.pipeline.rules.sample import sample

EDITED = METHODS + "# edited\n"
NETWORKS = [{"name": "mlp", "width": 8, "blocks": 1}, {"name": "Small"}]
SAMPLERS = [
    {"name": "annealed_langevin", "step_size": 2e-3},
    {"name": "heavy_ball", "step_size": 1e-3},
]


@pytest.fixture
def make(staged, tmp_path):
    """Plan a study of two networks and two samplers, one each of the plugin; draw some points."""
    give_data(tmp_path, staged)

    def plan(methods, *drawn, samplers=SAMPLERS):
        sampling = {"grid": {"sampler": samplers}, "count": 4, "chunk": 4}
        found = plan_in(tmp_path, methods, train={"grid": {"network": NETWORKS}}, sample=sampling)
        if drawn:
            save_untrained_networks(found)
            keep_copies(found.paths, *found.plugins)
        for run, setting in drawn:
            sample(found, found.runs[run].id, found.settings[setting].id)
        return found

    return plan


def edits(plan):
    return find_edits(plan, examine_results(plan))


def test_only_what_was_computed_before_is_to_compute_again(make, capsys):
    before = make(METHODS, (0, 1), (1, 0))  # of the plugin are the second network and sampler
    assert edits(before) == {}
    after = make(EDITED)
    ((edit, recomputed),) = edits(after).items()
    assert edit == Edit(*after.plugins, before.plugins[0].sha256, after.plugins[0].sha256)
    assert recomputed.methods == {"Small", "heavy_ball"}
    (mlp, small), (langevin, ball) = ([p.id for p in ps] for ps in (after.runs, after.settings))
    assert recomputed.runs == {small}
    assert recomputed.samples == {(mlp, ball), (small, langevin)}
    print_plan(after, probe=False)
    assert "runs 1, sets of samples 2" in capsys.readouterr().out


def test_what_was_computed_after_the_edit_or_never_is_not_named(make):
    make(METHODS, (0, 1))
    make(EDITED, (0, 1))
    more = make(EDITED, samplers=[*SAMPLERS, SAMPLERS[1] | {"step_size": 2e-3}])
    assert edits(more) == {}


def test_another_version_is_named(make):
    first, same, second = (
        METHODS.replace("@sampler", f"@sampler(version='{version}')") + extra
        for version, extra in (("1", ""), ("1", "# edited\n"), ("2", ""))
    )
    make(first, (0, 1))
    (found,) = edits(make(same)).values()
    assert found.methods == {"Small"}
    plan = make(second)
    by_content = {(edit.before, edit.now): recomputed for edit, recomputed in edits(plan).items()}
    assert by_content["version 1", "version 2"].samples == {(plan.runs[0].id, plan.settings[1].id)}
