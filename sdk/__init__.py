"""User-facing API: the pipeline and its stages, sources and sinks, profiling, evaluation, the command line."""
