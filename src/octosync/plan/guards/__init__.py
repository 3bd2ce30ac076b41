"""Guards: what a plan may not do without somebody saying so. One record each, in `table`."""
