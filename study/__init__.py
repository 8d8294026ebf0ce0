"""The study: many small students, checks of what the networks use, and the answers drawn from both."""
