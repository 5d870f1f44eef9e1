"""The training loop, on accelerate: CPU, one GPU or several, whole weights in each or a share of them, unchanged."""

import logging
import shutil
import signal
import time
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

import mvdiff
from mvdiff.training import sharding
from mvdiff.training.checkpoint import (
    checkpoint_tensors,
    find_checkpoint,
    list_checkpoints,
    load_checkpoint,
    load_teacher,
    read_state,
    recover,
    save_checkpoint,
    trained_state,
)
from mvdiff.training.config import TrainConfig, changed_settings
from mvdiff.training.ema import ExponentialMovingAverage
from mvdiff.training.optimization import build_optimizer, learning_rate_factor
from mvdiff.training.patience import Patience
from mvdiff.training.recipe import recipe_of
from mvdiff.training.tracking import Tracker
from mvdiff.weights import packing
from recon.core.errors import InputError
from recon.core.paths import is_file
from recon.io.folders import place_errors_told, write_json
from recon.io.locks import hold

logger = logging.getLogger(__name__)


class Trainer:
    """Runs a :class:`TrainConfig`; every step depends on (seed, step) alone, so resuming is exact.

    A step's micro-batches are numbered through all processes: P processes with A micro-batches each take the step that
    one process takes with P * A.
    """

    def __init__(self, config: TrainConfig) -> None:
        from accelerate import Accelerator
        from accelerate.utils import set_seed

        self.started = time.perf_counter()
        config.logging.check()
        self.config = config
        self.folder = Path(config.output_dir)
        self.accelerator = Accelerator(
            mixed_precision=config.mixed_precision,
            gradient_accumulation_steps=config.gradient_accumulation_steps,
            log_with=config.logging.trackers or None,
            project_dir=str(self.folder),
        )
        check_distribution(self.accelerator.distributed_type.value)
        self.sharded = sharding.asked_for() and self.accelerator.num_processes > 1
        if self.sharded:
            sharding.check_shardable(config)
        checkpoint = self._claim_folder()
        set_seed(config.seed)
        self.recipe = recipe_of(config)
        if self.device.type == "cuda":
            torch.set_float32_matmul_precision(self.recipe.matmul_precision)
        self.objective = self.recipe.objective()
        if config.model.gradient_checkpointing:
            self.objective.transformer.enable_gradient_checkpointing()
        self.objective.to(self.device)
        if config.model.compile == "always" or (config.model.compile == "auto" and self.device.type == "cuda"):
            self.objective.compile_blocks()
        if self.sharded:
            sharding.shard(self.objective, self.objective.blocks, self.device)
        self.ema = ExponentialMovingAverage(self.objective, config.optimizer.ema_decay)
        self.optimizer = build_optimizer(self.objective, config.optimizer)
        self.data = self.recipe.pictures(self.device, self.accelerator.process_index)
        self.step, self.seconds_before = 0, 0.0
        self.patience = Patience(config.validation.patience, self.folder)
        self.last_validation: dict[str, float] = {}
        self._validated = -1
        if checkpoint is not None:
            self._resume(checkpoint)
        self.wrapped = self.objective if self.sharded else self.accelerator.prepare(self.objective)
        self.stop_asked = False
        self._hosts = None
        if self.accelerator.num_processes > 1:
            self._hosts = torch.distributed.new_group(backend="gloo")
        if self.accelerator.is_main_process:
            write_json(self.folder / "config.json", asdict(config))
        self.tracker = Tracker(self.folder, config.logging, self.accelerator, asdict(config), self.step)

    def _claim_folder(self) -> Path | None:
        """The checkpoint to go on from; a folder with those of another run is not written to by accident."""
        if self.accelerator.is_main_process:
            with place_errors_told(self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
            self._lock, _ = hold(self.folder)  # as long as the trainer lives
            recover(self.folder)
        self.accelerator.wait_for_everyone()
        if self.config.resume:
            return find_checkpoint(self.folder, self.config.resume)
        if list_checkpoints(self.folder) and not self.config.overwrite:
            raise InputError(
                f"{self.folder} holds checkpoints of an earlier run: pass --resume latest to go on, --overwrite to "
                "begin again, or another --output-dir."
            )
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            for path in list_checkpoints(self.folder):
                shutil.rmtree(path)
        return None

    def _resume(self, checkpoint: Path) -> None:
        for text in changed_settings(read_state(checkpoint).get("config", {}), self.config):
            logger.warning("Resuming with another setting than before: %s.", text)
        state = load_checkpoint(checkpoint, self.objective, self.ema, self.optimizer)
        if (teacher := load_teacher(checkpoint)) is not None and self.objective.teacher is not None:
            self.objective.take_over_teacher(teacher)
        self.step, self.seconds_before = state["step"], state["seconds"]
        self.patience.load(state.get("patience", {}))
        if self.accelerator.scaler is not None and state.get("scaler"):
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self.data.seek(self.step)

    @property
    def device(self) -> torch.device:
        return self.accelerator.device

    def seconds(self) -> float:
        return self.seconds_before + time.perf_counter() - self.started

    def progress(self) -> float:
        by_steps = self.step / self.config.max_steps
        return by_steps if self.config.max_seconds is None else max(by_steps, self.seconds() / self.config.max_seconds)

    def train(self) -> None:
        """Until the steps or the seconds are spent, or somebody asks to stop; then export."""
        config = self.config
        last: dict[str, float] = {}
        self._logged_step, self._logged_at = self.step, self.seconds()
        with _interruptible(self):
            while self._agree():
                parts, norm = self._step()
                self.step += 1
                if self.step % config.logging.every_steps == 0 or self.step == 1:
                    self._log_step(parts, norm)
                if self._due("validation", last, config.validation.every_steps, config.validation.every_seconds):
                    self.validate()
                if self._due("checkpoint", last, config.checkpoint_every_steps, config.checkpoint_every_seconds):
                    self.checkpoint()
        self.checkpoint()
        if not self.stop_asked:
            self.validate()
        self.data.close()
        self.export()
        self.accelerator.end_training()

    def _agree(self) -> bool:
        """Whether there is one more step, and which share of the run is over: the main process's clock decides.

        Were each process to ask its own, one could leave while the others wait for its gradients. They talk from host
        to host: asking the devices would make every step wait for the one before.
        """
        self._seconds, self._progress = self.seconds(), self.progress()
        if self._hosts is not None:
            heard: list[Any] = [None] * self.accelerator.num_processes
            said = (self._seconds, self._progress, self.stop_asked)
            torch.distributed.all_gather_object(heard, said, group=self._hosts)
            self._seconds, self._progress, _ = heard[0]
            self.stop_asked = any(asked for *_, asked in heard)
        return self.step < self.config.max_steps and self._progress < 1 and not self.stop_asked

    def _due(self, what: str, last: dict[str, float], every_steps: int, every_seconds: float) -> bool:
        due = bool(every_steps) and self.step % every_steps == 0
        # By the clock that all agreed on, from the start on: were one to save a step before the others, all would wait.
        if every_seconds and self._seconds - last.setdefault(what, self._seconds) >= every_seconds:
            due = True
        if due:
            last[what] = self._seconds
        return due

    def _step(self) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        config, accelerator = self.config, self.accelerator
        factor = learning_rate_factor(self.step, self._progress, config.optimizer)
        for group in self.optimizer.param_groups:
            group["lr"] = config.optimizer.learning_rate * factor
        means: dict[str, torch.Tensor] = {}
        for micro in range(config.gradient_accumulation_steps):
            generator = self._generator(micro, self.data.device)
            batch = self.data.batch(config.batch_size, generator, self.device)
            last = micro == config.gradient_accumulation_steps - 1
            if config.lora.dropout:  # which draws from the global generator
                torch.manual_seed(self._generator(micro, torch.device("cpu"), stream=2).initial_seed())
            with _synchronised(accelerator, self.wrapped, last):
                with accelerator.autocast():
                    loss, parts = self.wrapped(batch, self._generator(micro, self.device, stream=1))
                accelerator.backward(loss)  # divides by the number of micro-batches
            for name, value in parts.items():
                means[name] = means.get(name, 0.0) + value / config.gradient_accumulation_steps
        scaler = accelerator.scaler  # of fp16 alone
        if scaler is not None:
            scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(trained_state(self.objective).values(), config.optimizer.max_grad_norm)
        norm = sharding.whole(norm)
        _clear_nonfinite(self.objective)
        if scaler is None:
            self.optimizer.step()
        else:  # leaves out a step whose gradients overflowed
            scaler.step(self.optimizer)
            scaler.update()
        self.optimizer.zero_grad()
        self.ema.update(self.objective, self.step)
        every = self.config.model.guidance_refresh
        if every and self.step % every == every - 1 and self.objective.teacher is not None:
            self.objective.take_over_teacher(self.ema.part("transformer"))
        self.data.refresh()
        return means, norm

    def _generator(self, micro: int, device: torch.device, stream: int = 0) -> torch.Generator:
        """Own to (seed, step, micro-batch among those of all processes, stream)."""
        mixed = self.config.seed
        place = self.accelerator.process_index * self.config.gradient_accumulation_steps + micro
        for part in (self.step, place, stream):
            mixed = (mixed * 6_364_136_223_846_793_005 + part + 1_442_695_040_888_963_407) % 2**63
        return torch.Generator(device).manual_seed(mixed)

    def _log_step(self, parts: dict[str, torch.Tensor], norm: torch.Tensor) -> None:
        now, objects = self.seconds(), self.config.batch_size * self.config.gradient_accumulation_steps
        steps, seconds = self.step - self._logged_step, now - self._logged_at
        self._logged_step, self._logged_at = self.step, now
        values = {name: float(self.accelerator.reduce(value, "mean")) for name, value in parts.items()}
        values |= {
            "grad_norm": float(norm),
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "objects_per_second": steps * objects * self.accelerator.num_processes / max(seconds, 1e-9),
        }
        if self.data.refreshed is not None:
            values["refreshed"] = self.data.refreshed
        if self.device.type == "cuda":
            values["memory_gb"] = torch.cuda.max_memory_allocated() / 2**30
        self.log(values)

    def log(self, values: dict[str, float]) -> None:
        self.tracker.log(self.step, self.seconds(), values)

    @property
    def makes_copies(self) -> bool:
        """Whether this process takes part in copying the networks: the main one uses the copy, but shares must meet."""
        return self.sharded or self.accelerator.is_main_process

    def averaged(self) -> nn.Module:
        """A copy of the networks with the averaged weights; all processes that make copies must ask together."""
        twin = self.objective.twin().eval()
        self.ema.copy_to(twin)
        return twin

    def validate(self) -> None:
        if not self.config.validation.objects or not self.makes_copies or self._validated == self.step:
            return
        self._validated = self.step
        averaged = self.averaged()
        if not self.accelerator.is_main_process:
            return
        picture = self.folder / "validation" / f"{self.step:07d}.png"
        with self.accelerator.autocast():
            values = self.recipe.validate(averaged, self.objective.teacher, self.data, self.device, picture)
        if is_file(picture):
            self.tracker.picture(self.step, "validation/views", picture)
        self.log(values)
        self.last_validation = values
        if self.patience.spent(values["validation/loss"], self.step, averaged):
            logger.warning("No better validation since step %d: the run stops.", self.patience.best_step)
            self.stop_asked = True

    def checkpoint(self) -> None:
        tensors = checkpoint_tensors(self.objective, self.ema, self.optimizer, self.objective.changed_teacher())
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            scaler = self.accelerator.scaler
            state: dict[str, Any] = {
                "seconds": self.seconds(),
                "seed": self.config.seed,
                "config": asdict(self.config),
                "patience": self.patience.state(),
                "scaler": None if scaler is None else scaler.state_dict(),
            }
            save_checkpoint(self.folder, self.step, tensors, state, self.config.checkpoints_total_limit)
        self.accelerator.wait_for_everyone()

    def export(self) -> None:
        """The averaged (or best) weights as a pipeline folder or a LoRA file with their model card; raw ones beside."""
        if not self.makes_copies:
            return
        averaged, raw = self.averaged(), self.objective.twin()
        if self.accelerator.is_main_process:
            self.patience.restore(averaged)
            self.recipe.export(self.folder, averaged, raw, self.provenance())

    def provenance(self) -> dict[str, Any]:
        config, base = self.config, self.config.model.init_from
        return {
            "version": mvdiff.__version__,
            "base": base,
            "base_sha256": packing.weights_hash(packing.resolve(base)) if base else None,
            "step": self.step,
            "seconds": round(self.seconds(), 1),
            "objects_per_step": config.batch_size * config.gradient_accumulation_steps * self.accelerator.num_processes,
            "processes": self.accelerator.num_processes,
            "parameters_per_process": sum(sharding.share(p).numel() for p in self.objective.parameters()),
            "device": torch.cuda.get_device_name() if self.device.type == "cuda" else "CPU",
            "data": self.data.summary(),
            "validation": self.last_validation,
            "config": asdict(config),
        }


def check_distribution(kind: str) -> None:
    """Raise :class:`InputError` for what the loop cannot do."""
    if kind not in ("NO", "MULTI_GPU", "MULTI_CPU", "FSDP"):
        raise InputError(
            f"Training on {kind} is not supported, and not needed for networks of this size: launch with --multi_gpu."
        )


def _clear_nonfinite(module: nn.Module) -> None:
    """A step whose gradients overflowed adds nothing; written without asking the device, which would wait for it.

    Clipping by a norm that is not finite has made every gradient 0 or NaN.
    """
    for parameter in module.parameters():
        if parameter.grad is not None:
            sharding.share(parameter.grad).nan_to_num_(nan=0.0, posinf=0.0, neginf=0.0)


@contextmanager
def _synchronised(accelerator, module, last: bool):
    """Gradients travel between processes only with the last micro-batch."""
    if sharding.is_sharded(module):
        module.set_requires_gradient_sync(last)
        yield
    elif last:
        yield
    else:
        with accelerator.no_sync(module):
            yield


@contextmanager
def _interruptible(trainer: Trainer):
    """The first SIGINT or SIGTERM finishes the step and saves; a second one acts as always."""

    def ask(signum, frame) -> None:
        trainer.stop_asked = True
        signal.signal(signum, previous[signum])

    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in previous:
        signal.signal(number, ask)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
