"""A place's own films: their labels, how good a released model is on them, and an operating point for that place."""
