"""What training and inference cost on a machine: measured, recorded, and foretold for runs."""
