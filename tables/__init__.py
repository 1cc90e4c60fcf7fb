"""The tables that `models.py` and `account_models.py` do not have, a file for each subject."""
