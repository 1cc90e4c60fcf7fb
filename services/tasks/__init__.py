"""Tasks: lists, search, import and export."""
