"""Commands: one file for each command, and files for what two of them share."""
