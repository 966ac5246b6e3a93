"""The systems the paper compares with or names as relatives: one file per way of sharing."""
