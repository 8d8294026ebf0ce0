"""The students of the study: what each depends on, how it is trained, and who trains it."""
