"""The questions of the study: its networks, their statistics and its report."""
