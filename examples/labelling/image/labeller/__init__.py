"""Labels the rows of a database table by keywords, rules or regular expressions."""
