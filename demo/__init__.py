"""The whole pipeline on synthetic films, in a throw-away copy of the repository."""
