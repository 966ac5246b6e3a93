"""What holds for every test."""

import pytest


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    """Runs are trained where tests can watch them, unless a test asks for workers."""
    monkeypatch.setenv("DCLIB_WORKERS", "1")
