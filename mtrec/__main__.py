"""`python -m mtrec` is `mtrec`, for torchrun and for machines whose scripts are not on the path."""

from mtrec.cli import main

if __name__ == "__main__":
    main()
