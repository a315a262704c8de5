"""Files of a study on disk: cells, rows, plans, atomic writes, pictures."""
