"""One file per rule of the workflow: read files, call the library, write files."""
