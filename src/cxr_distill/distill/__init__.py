"""What a teacher adds: the loss, the soft targets and the task that combines them."""
