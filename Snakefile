"""Run a study, from its data to its report.

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
    ignore_local_modules,
    remove_launcher_variables,
)
from scoresweep.pipeline.results.plugin_copies import keep_copies
from scoresweep.pipeline.study import load_study, plan_study
from scoresweep.pipeline.study.batches import check_settings_per_job

min_version("9.9")
remove_launcher_variables()
ignore_local_modules()

# Rules run the `scoresweep` installed next to this Python, even if no environment is activated.
BIN = shlex.quote(os.path.dirname(sys.executable)).replace("{", "{{").replace("}", "}}")
# A command that the kernel kills (exit code 137) cannot say why itself.
KILLED = (
    "Error: killed, probably out of memory: --set-resources RULE:mem_mb=MB gives more"
)
shell.prefix(
    f"set -euo pipefail; PATH={BIN}:$PATH; "
    f"trap 'if [ $? -eq 137 ]; then echo \"{KILLED}\" >&2; fi' EXIT; "
)


report: "workflow/report/workflow.rst"


# `configfile:` is not used: it would merge the default study into the one on the command line.
OPTIONS = dict(workflow.config_settings.config)
IS_SIZE_GIVEN = "settings_per_job" in OPTIONS
SETTINGS_PER_JOB = OPTIONS.pop("settings_per_job", None)
if OPTIONS:
    raise WorkflowError(
        f"--config {' '.join(OPTIONS)}: expected only settings_per_job, since the study file "
        f"configures a study; edit a copy of it and pass that with --configfile"
    )
if len(workflow.configfiles) > 1:
    raise WorkflowError(
        f"--configfile {' '.join(map(os.path.relpath, workflow.configfiles))}: expected one study "
        f"file; run snakemake once for each"
    )
STUDY = os.path.relpath((workflow.configfiles or ["config/config.yaml"])[-1])
try:
    if IS_SIZE_GIVEN:
        check_settings_per_job(SETTINGS_PER_JOB)
    plan = plan_study(load_study(Path(STUDY)), where=STUDY)
except ScoresweepError as error:
    raise WorkflowError(str(error))
paths = plan.paths


wildcard_constraints:
    dataset="[^/]+",
    extractor=r"\w+(-[0-9a-f]{8})?",  # a plugin's name ends in a hash
    run="[^/]+",
    batch=r"\d+-of-\d+(-at-\d+)?",


include: "workflow/rules/common.smk"
include: "workflow/rules/stage.smk"
include: "workflow/rules/reference.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/sweep.smk"
include: "workflow/rules/report.smk"


check_rule_names()


onstart:
    prepare_slurm()
    keep_copies(paths, *plan.plugins)


onsuccess:
    record_workflow_end(paths)


onerror:
    record_workflow_end(paths)


rule all:
    default_target: True
    input:
        all_targets,


# Jobs that replace an existing output have this input (see common.smk).
localrules:
    outdated,


rule outdated:
    input:
        fresh_file,
    output:
        touch(OUTDATED),
