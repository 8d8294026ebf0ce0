"""What people read of the study: words by people, figures, tables and pictures from committed results."""
