"""The commands, one module per command, and modules with the parts that two commands share."""
