"""The tables of numbers on the page."""

from __future__ import annotations

from pathlib import Path

from faked_study import CONTENT, fake_measurements, fake_plan

from scoresweep.pipeline.cluster.job_table import collect_jobs
from scoresweep.pipeline.report.page.number_tables import number_table
from scoresweep.pipeline.report.summarise import with_summary
from scoresweep.pipeline.report.tables.collect import collect
from scoresweep.pipeline.report.tables.frames import wide_table
from scoresweep.pipeline.report.tables.ranking import ranking_metrics


def test_an_exact_score_is_not_marked_as_one_of_two_networks(tmp_path: Path) -> None:
    networks = [{"name": "mlp", "width": 8, "blocks": 1}, {"name": "oracle"}]
    train = CONTENT["train"] | {"grid": {"network": networks, "seed": [0, 1]}}
    plan = fake_plan(tmp_path, train=train)
    fake_measurements(plan)
    plan.paths.metrics(plan.runs[0].id, plan.settings[0].id).unlink()
    data = collect(plan, collect_jobs(plan))
    wide = wide_table(data)
    metrics = ranking_metrics(data.tree["sampling"].to_dataset(), wide)
    table = number_table(with_summary(data, wide, metrics), wide, metrics)
    marked = [
        (row["where"], note)
        for row in table["rows"]
        for note in row["cells"][0]["notes"]
        if " of " in note
    ]
    assert len(table["rows"]) > 2
    (only,) = marked  # the network whose metrics are missing
    assert "mlp" in only[0]
    assert only[1] == "1 of 2 networks"
