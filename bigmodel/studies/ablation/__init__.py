"""How a study is made: its cells, who makes their runs, and how these share what is compiled."""
