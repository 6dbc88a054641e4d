"""Callbacks for training frameworks. Importing this imports none of them."""
