"""What a network is worth: metrics with intervals, predictions, calibration, examples."""
