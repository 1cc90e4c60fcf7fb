"""Configuration: reading the values of settings, and the rules that check them."""
