"""What people see of a run: tables, a chart, and the pages that show them."""
