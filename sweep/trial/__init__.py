"""The interface of a trial for its objective. Importing this package imports none of its modules."""
