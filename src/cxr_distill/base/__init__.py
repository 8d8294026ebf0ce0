"""What every room may use: errors, files, arrays, parameters, the three classes. It uses no other room."""
