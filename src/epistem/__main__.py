"""`python -m epistem` is the command line."""

from epistem.app.cli import main

if __name__ == "__main__":
    main()
