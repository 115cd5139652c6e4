"""One file per kind of operator: its data, its right answers, and who is asked to compute them."""
