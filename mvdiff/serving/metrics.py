"""Figures of the server in Prometheus' text format."""

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from mvdiff.serving.jobs import Job

_SECONDS = (0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000)


class Metrics:
    """Counters of one server, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self.queued = Gauge("mvdiff_jobs_queued", "Jobs that wait", registry=registry)
        self.running = Gauge("mvdiff_jobs_running", "Jobs at work", registry=registry)
        self._ended = Counter("mvdiff_jobs_ended", "Jobs that ended", ["kind", "state"], registry=registry)
        self._waited = Histogram("mvdiff_wait_seconds", "Time in the queue", buckets=_SECONDS, registry=registry)
        self._stages = Histogram(
            "mvdiff_stage_seconds", "Time of each stage of a job", ["stage"], buckets=_SECONDS, registry=registry
        )
        self._gpu = Gauge("mvdiff_gpu_memory_bytes", "GPU memory, peak of the last job", ["device"], registry=registry)
        self._memory = Gauge("mvdiff_worker_memory_bytes", "Memory of a worker", ["device"], registry=registry)
        self.refused = Counter("mvdiff_requests_refused", "Requests refused", ["status"], registry=registry)

    def note_job(self, job: Job) -> None:
        """Count a job that is over."""
        self._ended.labels(job.kind, job.state).inc()
        if job.started is not None:
            self._waited.observe(max(0.0, job.started - job.created))
        for stage, seconds in job.seconds.items():
            self._stages.labels(stage).observe(seconds)

    def note_worker(self, device: str, event: dict[str, Any]) -> None:
        """Keep what a worker told of its memory."""
        self._gpu.labels(device).set(event.get("gpu_memory", 0))
        self._memory.labels(device).set(event.get("memory", 0))

    def text(self) -> bytes:
        return generate_latest(self._registry)
