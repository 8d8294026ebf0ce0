"""The first weights of a student: one module for each value of `student.init`."""
