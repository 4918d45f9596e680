"""Losses, metrics, optimizers, and builders that turn a model into an experiment."""
