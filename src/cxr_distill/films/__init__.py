"""From the bytes of a file to grey pixels, without PyTorch: training and screening share every step."""
