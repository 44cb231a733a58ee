"""Rules and commands: read files, call the library, write files."""
