"""Synthetic portraits: heads drawn by number, and their pictures."""

from dclib.data.portrait.draw import draw, stream
from dclib.data.portrait.head import Head, factors, landmarks, mirrored, project
from dclib.data.portrait.picture import paint

__all__ = ["Head", "draw", "factors", "landmarks", "mirrored", "paint", "project", "stream"]
