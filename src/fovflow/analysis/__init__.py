"""From traces to answers: samples, merged tables, fits, statistics."""
