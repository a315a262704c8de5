"""Released checkpoints turned into ours."""
