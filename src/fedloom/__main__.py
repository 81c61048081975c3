"""The command `fedloom`. Settings that only take effect before torch is imported are made here."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait should sleep: beside other work, spinning costs up to 15 times
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def main() -> None:
    from fedloom.cli.app import main as command

    command()


if __name__ == "__main__":
    main()
