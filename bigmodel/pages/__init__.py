"""Pages of HTML that need no network: their style, and the tables and figures on them."""
