"""The handlers of the embedded control plane's operations, one module per resource."""
