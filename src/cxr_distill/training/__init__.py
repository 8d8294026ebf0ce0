"""How any network is trained: order of images, task, loop, operating point, resuming."""
