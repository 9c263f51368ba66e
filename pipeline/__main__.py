"""`python -m pipeline`: the `covers` command."""

from pipeline.cli import main

if __name__ == "__main__":
    main()
