"""The page that screens films in a browser: what builds and serves it."""
