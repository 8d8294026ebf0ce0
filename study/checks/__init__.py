"""What the three main networks could use besides pneumonia, and where they look."""
