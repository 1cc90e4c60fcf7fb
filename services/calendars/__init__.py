"""Calendars: addresses that show due tasks to programs that read iCalendar files (RFC 5545)."""
