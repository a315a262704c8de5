"""What lies on the disk: cells, rows, plans, whole files, pictures."""
