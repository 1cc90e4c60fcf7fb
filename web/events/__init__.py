"""Sending events as they happen: streams of Server-Sent Events, and reads that wait for an event."""
