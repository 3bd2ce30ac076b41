"""Handlers of the embedded control plane, one module for each resource."""
