"""Notifications: events, their bodies, and delivery to webhooks."""
