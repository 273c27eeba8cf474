"""`python -m pip`: blast takes the place of this process."""

import os
import sys

from pip import command

blast, words = command(sys.argv[1:])
os.execv(blast, words)
