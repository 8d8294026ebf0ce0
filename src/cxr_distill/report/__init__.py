"""What people read of one run: words, tables and pictures from committed figures."""
