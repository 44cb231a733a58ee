"""A study, from its data to its report.

snakemake --cores 2                                        runs config/config.yaml
snakemake --cores 2 --configfile config/studies/NAME.yaml  runs another study
"""

import os
import shlex
import sys
from pathlib import Path

from snakemake.utils import min_version

from scoresweep.pipeline.errors import ScoresweepError
from scoresweep.pipeline.cluster.environment import (
    ignore_modules_here,
    remove_launcher_variables,
)
from scoresweep.pipeline.study import load_study, plan_study

min_version("9.9")
remove_launcher_variables()
ignore_modules_here()

# Rules run the `scoresweep` of the Python that runs Snakemake, in an activated environment or not.
BIN = shlex.quote(os.path.dirname(sys.executable)).replace("{", "{{").replace("}", "}}")
shell.prefix(f"set -euo pipefail; PATH={BIN}:$PATH; ")


report: "workflow/report/workflow.rst"


# The study is read by its own loader, not by Snakemake's `configfile:` directive: that would merge
# the default study into the one that is named on the command line.
if workflow.config_settings.config:
    raise WorkflowError(
        f"--config {' '.join(workflow.config_settings.config)}: expected no such option: the study "
        f"file alone says what a study is; copy it, change the copy, and name it by --configfile"
    )
if len(workflow.configfiles) > 1:
    raise WorkflowError(
        f"--configfile {' '.join(map(os.path.relpath, workflow.configfiles))}: expected one study "
        f"file; start snakemake once for each"
    )
STUDY = os.path.relpath((workflow.configfiles or ["config/config.yaml"])[-1])
try:
    plan = plan_study(load_study(Path(STUDY)), where=STUDY)
except ScoresweepError as error:
    raise WorkflowError(str(error))
layout = plan.paths


wildcard_constraints:
    dataset="[^/]+",
    extractor="[a-z0-9_]+",
    run="[^/]+",
    # `score_error.nc` and `SETTING.nc` lie in one folder.
    setting=r"(?!score_error\.nc$)[^/]+",


include: "workflow/rules/common.smk"
include: "workflow/rules/stage.smk"
include: "workflow/rules/reference.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/score_error.smk"
include: "workflow/rules/sample.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/report.smk"


onstart:
    prepare_slurm()


onsuccess:
    from scoresweep.pipeline.cluster.study_jobs import record_workflow_end

    record_workflow_end(layout)


onerror:
    from scoresweep.pipeline.cluster.study_jobs import record_workflow_end

    record_workflow_end(layout)


rule all:
    default_target: True
    input:
        everything,


# An input of jobs whose output exists and has to be made again (see common.smk).
localrules:
    outdated,


rule outdated:
    input:
        newest_file,
    output:
        touch(OUTDATED),
