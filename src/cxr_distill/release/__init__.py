"""From trained weights to the released files, and the checks that they answer as the network does."""
