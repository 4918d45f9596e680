"""The processes of a run: how they find each other, agree, and are watched."""
