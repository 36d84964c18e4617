"""``stoqapp`` and ``python -m stoqapp``: the command line, once it is loaded."""


def main() -> int:
    """Run the command line; an interrupt while it loads ends it as one later does."""
    try:
        from stoqapp import cli
    except KeyboardInterrupt:
        return 130
    return cli.main()


if __name__ == "__main__":
    raise SystemExit(main())
