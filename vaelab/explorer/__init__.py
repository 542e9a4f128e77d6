"""Explorer: a finished run, or two, behind a page of this machine: latents, walks, codes and samples."""

from vaelab.explorer.start import Explorer, explore, open_browser

__all__ = ["Explorer", "explore", "open_browser"]
