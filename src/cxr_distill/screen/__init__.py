"""What runs where the patient is, without PyTorch: model session, verdicts, command, heat map."""
