import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.attack.table import main

if __name__ == "__main__":
    sys.exit(main())
