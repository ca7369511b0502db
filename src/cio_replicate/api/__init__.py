"""HTTP to the App API: one budget, one retry policy, one error tree; knows no table."""
