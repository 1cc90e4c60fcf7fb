"""The commands of `python manage.py`, a module each."""
