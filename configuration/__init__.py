"""Where the values of settings come from, and the rules that they are checked by."""
