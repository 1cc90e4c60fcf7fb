"""Accounts: logging in, sessions, tokens, links, removal."""
