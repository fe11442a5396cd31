"""`python -m cpmqr` is the `cpmqr` command."""

from cpmqr.cli.main import run

if __name__ == "__main__":
    run()
