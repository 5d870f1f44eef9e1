"""Benchmark the main job (or its sampling), reconstruction, a training step, rendering for training, or attention.

``python tools/benchmark.py [job | sample] [--num-hypotheses 1 8] [--device cpu] [--output benchmark.json]``
``python tools/benchmark.py recon [--meshes DIR] [--source true | inconsistent | sampled] [--views 16 --size 256] ...``
``python tools/benchmark.py train [--config configs/train/embedded.yaml] [--batch-size 192] [--kernels 20]``
``python tools/benchmark.py render [--meshes DIR] [--objects 24] [--processes 1 2]``
``python tools/benchmark.py attention [--backends native xformers flash] [--device cuda]``
"""

import shlex
import sys

import tyro

from mvdiff.cli.exit_code import exit_code


def main(arguments: list[str]) -> None:
    command = shlex.join(["python", "tools/benchmark.py", *arguments])
    parts = ("job", "sample", "recon", "train", "render", "attention")
    part = arguments.pop(0) if arguments and arguments[0] in parts else "job"
    if part == "recon":
        from mvdiff.evaluation.benchmarks.reconstruction_config import ReconstructionBenchmarkConfig

        config = tyro.cli(ReconstructionBenchmarkConfig, args=arguments, description=__doc__)
        from mvdiff.evaluation.benchmarks.reconstruction import benchmark_reconstruction, reconstruction_table

        print(reconstruction_table(benchmark_reconstruction(config, command)), end="")
        return
    if part == "train":
        from mvdiff.evaluation.benchmarks.training import TrainingBenchmarkConfig, benchmark_training, training_table

        config = tyro.cli(TrainingBenchmarkConfig, args=arguments, description=__doc__)
        print(training_table(benchmark_training(config, command)), end="")
        return
    if part == "render":
        from mvdiff.evaluation.benchmarks.rendering import (
            RenderingBenchmarkConfig,
            benchmark_rendering,
            rendering_table,
        )

        config = tyro.cli(RenderingBenchmarkConfig, args=arguments, description=__doc__)
        print(rendering_table(benchmark_rendering(config, command)), end="")
        return
    if part == "attention":
        from mvdiff.evaluation.benchmarks.attention import (
            AttentionBenchmarkConfig,
            attention_table,
            benchmark_attention,
        )

        config = tyro.cli(AttentionBenchmarkConfig, args=arguments, description=__doc__)
        print(attention_table(benchmark_attention(config, command)), end="")
        return
    from mvdiff.evaluation.benchmarks.job import BenchmarkConfig, benchmark, table

    config = tyro.cli(BenchmarkConfig, args=arguments, description=__doc__)
    print(table(benchmark(part, config, command)), end="")


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(sys.argv[1:])))
