"""Docker: what an archive holds, what is in the way on an engine, the plan that puts it back, and its script."""
