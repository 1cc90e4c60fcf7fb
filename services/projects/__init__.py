"""Shared projects, their members, and their workflows."""
