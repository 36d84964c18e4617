"""``python -m stoqapp``: the command line."""

from stoqapp.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
