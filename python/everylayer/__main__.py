"""`python -m everylayer`: the program."""

from ._command import main

main()
