"""Machinery over FastAPI and Starlette."""
