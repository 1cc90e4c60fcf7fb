"""The OpenAPI document: `document.py` makes it, and the other files each complete a part of it."""
