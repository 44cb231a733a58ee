"""The workflow of workflow/Snakefile, for `snakemake` in this folder.

snakemake --cores 2                                        runs config/config.yaml
snakemake --cores 2 --configfile config/studies/NAME.yaml  runs another study
"""

# `include:` would drop the default target.
workflow.include("workflow/Snakefile", overwrite_default_target=True)
