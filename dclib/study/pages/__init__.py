"""What pages show, and how they are made."""
