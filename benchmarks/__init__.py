"""Speed and memory, measured side by side with PyTorch; run by hand: see README.md in this folder."""
