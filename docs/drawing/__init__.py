"""Draws the pictures of the component pages; see `docs/draw_pictures.py`."""
