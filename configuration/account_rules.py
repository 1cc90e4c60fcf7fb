"""Limits of usernames and passwords, shared by the schemas and the settings of the first admin."""

SHORTEST_USERNAME, LONGEST_USERNAME = 3, 50
USERNAME_PATTERN = r"^[A-Za-z0-9._-]+$"
SHORTEST_PASSWORD, LONGEST_PASSWORD = 8, 256
