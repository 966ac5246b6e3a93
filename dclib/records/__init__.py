"""What a run is, what it left behind, and where that is kept."""
