"""What users touch: the pipeline and its stages, sources and sinks, profiling, the command line."""
