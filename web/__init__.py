"""The layer over FastAPI and Starlette: transactions, input checks, limits, errors and OpenAPI."""
