"""The report of a study: its content, tables, figures, page and text files."""
