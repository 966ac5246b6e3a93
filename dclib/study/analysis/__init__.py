"""Runs compared: intervals, tests, and what they say."""
