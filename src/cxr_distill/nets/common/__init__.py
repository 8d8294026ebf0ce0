"""What teacher and student share: layers, views of the input, logits, parameters of training."""
