"""`python -m benchmarks.strategies`."""

from benchmarks.strategies.run import main

if __name__ == "__main__":
    raise SystemExit(main())
