"""Any CNN as a series of blocks, by the paper's rule."""
