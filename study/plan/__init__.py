"""Which networks answer the study's questions, with all that each one depends on."""
