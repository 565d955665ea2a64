"""``bench``: measure a recipe on this machine, everything that is compared in turns within one process."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch

from awac_tr.algorithms.hardware import bf16_units, cannot_compile
from awac_tr.bench.acting import Round, online_rounds, stepping
from awac_tr.bench.advice import advise
from awac_tr.bench.clock import Rate, Task, fitted, in_turns, ratio
from awac_tr.bench.clock import Tell as TellRounds
from awac_tr.bench.flops import Products, Shape, count_products, main_shape
from awac_tr.bench.peer import PeerTasks, d3rlpy_tasks, require_peer
from awac_tr.bench.report import Limit, Memory, Peer, Report, Variant, peak_bytes, resident_bytes
from awac_tr.bench.subject import WARM_UP, Bench, Setting, Subject, own_setting, rows_of
from awac_tr.doctor import usable_cores
from awac_tr.recipes.schema import Recipe
from awac_tr.training.experiment_setup import device_of, task_of
from awac_tr.training.run_folder import surroundings
from awac_tr.utils.threads import intra_op_threads

__all__ = ["Options", "Tell", "bench"]

Tell = Callable[[str, int, int], None]
"""Told what is being done, how many parts of it are done, and of how many."""

_ROUND_SECONDS: Final = 3.0
"""About how long a timed online round may take."""

_BLOCK_SECONDS: Final = 3.0
"""Longest block of updates: large networks, or a busy machine, get fewer updates a block."""

_QUIET: Final = 0.9
"""Below this share of the processor time that the threads could have had, something else uses the machine."""


@dataclass(frozen=True)
class Options:
    """How much is measured.

    Attributes:
        updates: in a block.
        steps: environment steps in a block.
        blocks: of everything.
        compiled: also measure compiled learners, which takes most of the time.
        against: a package to compare with, see :data:`awac_tr.bench.peer.PEERS`; None: none.
    """

    updates: int = 20
    steps: int = 400
    blocks: int = 7
    compiled: bool = True
    against: str | None = None

    @classmethod
    def quick(cls, against: str | None = None) -> Options:
        """Seconds instead of minutes: short blocks, and nothing compiled."""
        return cls(updates=3, steps=60, blocks=5, compiled=False, against=against)


def bench(recipe: Recipe, options: Options | None = None, tell: Tell = lambda *_: None) -> Report:
    """Measure a recipe with those of its datasets that are there; nothing is written.

    The ``notes`` of the report say what was left out and why.

    Raises:
        AwacError: the recipe, the environment or a dataset cannot be used, or the package to compare with is not here.
    """
    options = options or Options()
    if options.against is not None:
        require_peer(options.against, recipe)
    with intra_op_threads(recipe.threads):
        return _Session(recipe, options, tell).report()


class _Session:
    """One bench on its way: what is prepared, and what is found out meanwhile."""

    def __init__(self, recipe: Recipe, options: Options, tell: Tell) -> None:
        self.recipe, self.options, self.tell = recipe, options, tell
        self.notes: list[str] = []
        self.device = device_of(recipe.device)
        self.stages = {"libraries": resident_bytes()}
        self.env, bounds = task_of(recipe.env)
        tell("loading data", 0, 1)
        self.rows = rows_of(recipe, self.env, self.device)
        if self.rows.missing:
            names = ", ".join(self.rows.missing)
            self.notes.append(f"measured with {self.rows.transitions:,} rows of noise: not here are {names}")
        self.bench = Bench(recipe, self.env, bounds, self.rows.buffer, self.device)
        self.stages["data"] = resident_bytes()
        self.products = self._products()
        self.gflop = sum(self.products.values()) / 1e9
        self.own = own_setting(recipe, self.device)
        self.unit = bf16_units(self.device)
        self.updates = recipe.offline.updates + round(recipe.online.steps * recipe.online.updates_per_step)

    def report(self) -> Report:
        """Measure everything."""
        subjects = self._subjects(self._settings())
        self.stages["learners"] = resident_bytes()
        peer = self._peer()
        rates, limits = self._rates(subjects, peer)
        variants = tuple(self._variant(subject, setting, rates, limits) for setting, subject in subjects.items())
        best = max(variants, key=lambda variant: variant.rate.median).setting
        thread_setting, by_threads = self._threads(subjects, best.precision)
        advice = advise(variants, by_threads, own=self.own, updates=self.updates)
        chosen = subjects[advice.setting]
        bare, collector = stepping(
            self.bench, chosen, self.options.steps, self.options.blocks, self._told("environment steps")
        )
        online = self._round(chosen, rates[advice.setting.name], collector)
        self._note_company(limits)
        facts = surroundings()
        return Report(
            recipe=self.recipe.name,
            task=self._task(),
            machine=facts["machine"] | {"usable_cores": usable_cores()},
            versions=facts["versions"],
            device=str(self.device),
            threads=torch.get_num_threads(),
            flops={" x ".join(map(str, shape)): flops for shape, flops in self.products.items()},
            data=self.rows.to_json(),
            limits=tuple(limits.values()),
            variants=variants,
            thread_setting=thread_setting,
            by_threads=by_threads,
            bare_steps=bare,
            collector_steps=collector,
            round_setting=advice.setting,
            round=online,
            memory=self._memory(),
            advice=advice,
            peer=None if peer is None else Peer(peer.name, peer.version, rates["peer"], rates["peer, update only"]),
            notes=tuple(self.notes),
        )

    def _products(self) -> dict[Shape, int]:
        """Of an update as it is made eagerly; the setting changes neither sizes nor numbers of products."""
        subject = self.bench.subject(Setting("fp32", compile=False))
        batch = self.rows.buffer.sample(self.bench.batch_size)
        return count_products(lambda: subject.learner.update(batch))

    def _settings(self) -> list[Setting]:
        precisions = ("fp32",) if self.unit is None else ("fp32", "bf16")
        obstacle = cannot_compile(self.device) if self.options.compiled else "--quick measures eagerly only"
        if obstacle is not None:
            self.notes.append(f"compiled learners were left out: {obstacle}")
        found = [Setting(name, flag) for name in precisions for flag in ((False,) if obstacle else (False, True))]
        if self.own not in found and not (self.own.compile and obstacle):
            found.append(self.own)
        if all(setting.precision == "fp32" for setting in found):
            self.notes.append("bf16 was left out: nothing here multiplies bfloat16 in hardware")
        return found

    def _subjects(self, settings: list[Setting]) -> dict[Setting, Subject]:
        subjects = {}
        for number, setting in enumerate(settings):
            self.tell(f"starting {setting.name}", number, len(settings))
            subjects[setting] = self.bench.subject(setting)
        return subjects

    def _peer(self) -> PeerTasks | None:
        if self.options.against is None:
            return None
        self.tell(f"starting {self.options.against}", 0, 1)
        peer = d3rlpy_tasks(self.recipe, self.rows.buffer[: self.rows.transitions], self.bench.batch_size, self.device)
        self.notes += peer.notes
        return peer

    def _rates(
        self, subjects: dict[Setting, Subject], peer: PeerTasks | None
    ) -> tuple[dict[str, Rate], dict[str, Limit]]:
        """Updates of all settings, products of all precisions and the peer's updates, in turns."""
        shape, count = main_shape(self.products), self.options.updates
        products = {
            precision: Products.like_update(shape, sum(self.products.values()), precision, self.device)
            for precision in sorted({setting.precision for setting in subjects}, reverse=True)
        }
        tasks = {f"{precision} products": Task(each.step(), count) for precision, each in products.items()}
        tasks |= {setting.name: Task(subject.step, count) for setting, subject in subjects.items()}
        if peer is not None:
            tasks |= {"peer": Task(peer.step, count), "peer, update only": Task(peer.update, count)}
        rates = self._in_turns("updates", tasks)
        limits = {}
        for precision, each in products.items():
            unit = (self.unit or "") if precision == "bf16" or self.device.type == "cuda" else ""
            limits[precision] = Limit(precision, shape, unit, rates[f"{precision} products"].scaled(each.gflop))
        return rates, limits

    def _variant(self, subject: Subject, setting: Setting, rates: dict[str, Rate], limits: dict[str, Limit]) -> Variant:
        rate = rates[setting.name]
        return Variant(
            setting,
            rate,
            start_seconds=max(0.0, subject.start_seconds - WARM_UP / rate.median),
            own=setting == self.own,
            gflops=rate.median * self.gflop,
            share=ratio(rate.scaled(self.gflop), limits[setting.precision].gflops),
        )

    def _threads(self, subjects: dict[Setting, Subject], precision: str) -> tuple[Setting | None, dict[int, Rate]]:
        """Eagerly: a compiled learner is compiled for one number of threads."""
        counts = sorted({1, usable_cores() // 2, usable_cores(), torch.get_num_threads()} - {0})
        setting = Setting(precision, compile=False)
        if self.device.type != "cpu" or len(counts) == 1 or setting not in subjects:
            return None, {}
        step = subjects[setting].step
        rates = self._in_turns("threads", {str(count): Task(step, self.options.updates, count) for count in counts})
        return setting, {int(name): rate for name, rate in rates.items()}

    def _in_turns(self, what: str, tasks: dict[str, Task]) -> dict[str, Rate]:
        tell = self._told(what)
        tasks = {name: fitted(task, _BLOCK_SECONDS, self.device) for name, task in tasks.items()}
        return in_turns(tasks, self.options.blocks, device=self.device, tell=tell)

    def _told(self, what: str) -> TellRounds:
        blocks = self.options.blocks
        self.tell(what, 0, blocks)
        return lambda done: self.tell(what, done, blocks)

    def _round(self, subject: Subject, updates: Rate, steps: Rate) -> Round | None:
        online = self.recipe.online
        if online.steps == 0:
            self.notes.append("no online round was run: the recipe has no online phase (online.steps=0)")
            return None
        per_step = 1 / steps.median + online.updates_per_step / updates.median
        longest = min(online.steps_per_round, self.options.steps)
        # at least as many steps as owe one update
        least = math.ceil(1 / online.updates_per_step) if online.updates_per_step else 1
        count = max(least, min(longest, round(_ROUND_SECONDS / per_step)))
        return online_rounds(self.bench, subject, count, self.options.blocks, self._told("online rounds"))

    def _memory(self) -> Memory:
        gpu = torch.cuda.max_memory_allocated(self.device) if self.device.type == "cuda" else None
        peak = max(peak_bytes(), *self.stages.values())
        return Memory(self.stages, peak, self.rows.bytes_per_row, self.recipe.buffer.capacity, gpu)

    def _task(self) -> dict[str, object]:
        recipe = self.recipe
        return {
            "algorithm": recipe.algorithm.name,
            "env": recipe.env.id,
            "observation_size": self.env.observation_size,
            "action_size": self.env.action_size,
            "policy_hidden_sizes": list(recipe.policy.hidden_sizes),
            "qvalue_hidden_sizes": list(recipe.qvalue.hidden_sizes),
            "critics": recipe.qvalue.count,
            "batch_size": self.bench.batch_size,
            "updates": self.updates,
        }

    def _note_company(self, limits: dict[str, Limit]) -> None:
        """Whether this process had the cores to itself."""
        if self.device.type != "cpu" or "fp32" not in limits:
            return
        threads = torch.get_num_threads()
        had = limits["fp32"].gflops.busy / threads
        if had < _QUIET:
            self.notes.append(
                f"the machine was not quiet: products got {had:.0%} of the processor time of {threads} threads. Rates "
                "are too low; shares and ratios, taken in turns, mean more"
            )
