"""Who sits at the command line. Whoever may read the installation's secrets may do everything."""

import os
import pwd

from gateway.core.actor import Actor, Role


def at_the_keyboard() -> Actor:
    """The user of the operating system that runs the command, by name; where it has none, by number."""
    number = os.getuid()
    try:
        name = pwd.getpwuid(number).pw_name
    except KeyError:
        name = str(number)
    return Actor(f"cli:{name}", Role.OPERATOR)
