"""From trained weights to a released file, and the checks that it answers as the network does."""
