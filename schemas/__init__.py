"""Schemas of requests and answers, a file for each router."""
