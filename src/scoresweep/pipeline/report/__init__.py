"""From the measurements of a study to labelled tables, figures and a page."""
