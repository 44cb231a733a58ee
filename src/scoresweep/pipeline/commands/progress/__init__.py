"""How far a study is: its states at one moment, as a table, and watched."""
