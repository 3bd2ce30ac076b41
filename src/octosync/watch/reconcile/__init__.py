"""Reconciling one app: observe, plan, admit, apply, record."""
