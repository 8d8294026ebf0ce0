"""What every room may use: errors, whole files, strict parameters, the three classes. It uses no other room."""
