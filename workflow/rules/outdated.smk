# An input of jobs whose output exists and has to be made again (see common.smk).
localrules:
    outdated,


rule outdated:
    input:
        newest_file,
    output:
        touch(OUTDATED),
