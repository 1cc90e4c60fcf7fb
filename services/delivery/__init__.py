"""Delivery of notifications and mails, from the database row to the sent mail."""
