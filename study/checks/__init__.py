"""What the main networks could use besides pneumonia, where they look, and how large a released student is."""
