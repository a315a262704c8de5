"""Settings of a method, searched by trials that are cells of a study."""
