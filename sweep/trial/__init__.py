"""What an objective sees of its trial. Importing this package imports none of its modules."""
