"""Objects, cases and the processes that evaluate them."""
