#!/usr/bin/env python
"""Django's command line."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from django.core.management import execute_from_command_line
    from django.db import DatabaseError

    try:
        execute_from_command_line(sys.argv)
    except DatabaseError:
        from dbrouting.reachability import explain_failure

        explanation = explain_failure(then=f"python {' '.join(sys.argv)}")
        if explanation is None:
            raise
        sys.exit(explanation)


if __name__ == "__main__":
    main()
