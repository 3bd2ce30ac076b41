"""The three-way comparison: baseline, desired state and live state, field by field."""
