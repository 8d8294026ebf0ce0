"""Tables, words and pictures made from figures."""
