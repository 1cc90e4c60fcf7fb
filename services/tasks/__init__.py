"""Tasks: lists, search, batches, comments, history, import and export."""
