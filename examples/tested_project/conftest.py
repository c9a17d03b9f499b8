"""How the tests run: nearly all of their time goes into programs that run once, so each is made cheaply."""

import gc
import os


# Before JAX is imported: LLVM spends nothing on making programs fast.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false")
# Traces are many small objects, which the collector would look through again and again.
gc.set_threshold(100_000)
