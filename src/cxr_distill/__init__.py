"""Train a small chest X-ray screener by knowledge distillation."""
