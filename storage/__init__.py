"""Machinery over SQLAlchemy and the database drivers."""
