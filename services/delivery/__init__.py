"""Delivery: notifications and mails, from their row to the mail."""
