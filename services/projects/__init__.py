"""Projects that people share: themselves, their members, their workflow."""
