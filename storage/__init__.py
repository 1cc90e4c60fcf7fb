"""What SQLAlchemy and the drivers are made to do."""
