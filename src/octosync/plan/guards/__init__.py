"""Guards: what a plan may not do unless it is allowed. One record each, in `table`."""
