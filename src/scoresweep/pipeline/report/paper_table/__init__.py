"""Tables for papers: numbers of a report's summary as LaTeX, Markdown or CSV."""
