"""One run: its faces, how weights are learned, the loop, its checkpoint."""
