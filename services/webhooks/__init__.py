"""Webhooks: where events are sent, how they are signed, and what becomes of each delivery."""
