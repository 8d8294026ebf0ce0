"""From predictions to the study's figures, pictures and report."""
