"""Where the lungs lie in a film: published boxes, and a network that finds them where there are none."""
