"""The page that screens films in a browser, and the programs that build and serve it."""
