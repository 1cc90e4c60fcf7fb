"""What FastAPI is made to do."""
