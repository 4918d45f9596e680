"""What a study came to: statistics, tables, drawings and the page they are on."""
