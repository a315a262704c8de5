"""A static site of packs and studies: what their rows say, for people who do not run anything."""
