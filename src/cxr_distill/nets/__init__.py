"""What a network is: parts in common, the teacher, the student."""
