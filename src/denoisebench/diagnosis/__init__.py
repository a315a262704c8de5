"""What noise an image has, from that image alone: its level, its correlation, what storing did to it, who can remove it."""
