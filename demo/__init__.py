"""The whole pipeline on drawn chests, in a throw-away copy of the repository."""
