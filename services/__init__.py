"""The rules: what the program does, without a word of HTTP."""
