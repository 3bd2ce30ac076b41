"""The control loop: feed and resync trigger, a queue orders, workers reconcile."""
