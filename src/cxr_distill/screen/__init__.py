"""Screening without PyTorch: model session, verdicts, command, heat map."""
