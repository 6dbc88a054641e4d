"""How user code is found, called, and what it gives back."""
