"""What is computed when: planning, one cell, a sweep."""
