"""Speed and memory of fovflow, measured against plain versions, memory copies and the disk.

``python -m benchmarks`` in a clone, or ``fovflow bench``; docs/performance.md says how to read it.
"""
