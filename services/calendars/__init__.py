"""Calendars: addresses that show what is due to programs that take iCalendar files (RFC 5545)."""
