"""Tables: from a file or a package to columns, features and a target."""
