"""Commands of `python manage.py`, a module for each."""
