"""The rules of the program, without any HTTP."""
