"""Commands that inspect or manage a study, one file each; `estimate` belongs to `plan`."""
