"""Webhooks: the addresses that events are sent to, their signatures, and the results of deliveries."""
