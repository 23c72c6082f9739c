"""What people bring, tried for real: kills, flipped bits, bad files, hostile requests. `python -m benchmarks.attack` prints the
table; see `benchmarks.attack.table`."""
