"""The weights with which a student's training starts: one module for each value of `start` in params.yaml."""
