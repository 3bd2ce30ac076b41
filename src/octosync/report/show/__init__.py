"""Reports of commands that only read: status, history, activity, coverage and the like."""
