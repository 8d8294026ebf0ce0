"""How good a network is: predictions, metrics with intervals, example images."""
