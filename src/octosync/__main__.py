"""`python -m octosync` is the `octosync` command."""

from octosync.cli import main

if __name__ == "__main__":
    main()
