"""`python -m worker`: the command `labelwire`, where its script is not on the path."""

from worker.cli import main

if __name__ == "__main__":
    main()
