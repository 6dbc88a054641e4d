"""The W&B dialect: W&B's sweep files and what belongs to them."""
