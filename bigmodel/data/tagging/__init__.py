"""Words with a label each: entities in sentences, kinds of tokens in source code."""
