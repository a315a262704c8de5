"""Results and networks that were made elsewhere: images that another program wrote, and networks from files."""
