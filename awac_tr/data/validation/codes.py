"""Every kind of trouble that validation knows, once: what it is, what it does to training, how it is mended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["FAMILIES", "KINDS", "Kind", "Severity"]

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Kind:
    """What all findings of one code have in common.

    Args:
        severity: the usual one; files of others and doubtful cases may get a milder one.
        meaning: what the code stands for; for faults of rows the message, with ``{rows}`` and ``{first}``.
        harm: what it does to training.
        remedy: what to do about it.
        mends: what ``--fix`` does; empty: it refuses, since nobody can know what was meant.
    """

    severity: Severity
    meaning: str
    harm: str
    remedy: str
    mends: str = ""

    @property
    def title(self) -> str:
        """The meaning without counts."""
        text = self.meaning.replace(" (first row {first})", "").replace(", first row {first}", "")
        return text.format(rows="rows")


_FILE: Final = {
    "missing-array": Kind(
        "error",
        "one of the six arrays is missing",
        "Without terminals a time limit looks like a death, without next observations values have no target.",
        "Write the array, or import the file with the converter of its format.",
    ),
    "shape": Kind(
        "error",
        "an array has the wrong number of axes",
        "Broadcasting would mix rows up without a word: a loss over [N, 1] and [N] is an [N, N] matrix.",
        "Store matrices as [N, width], the others as [N].",
    ),
    "dtype": Kind(
        "error",
        "an array has another type than the format's",
        "Twice the memory, or rounded numbers: integers as actions are usually a cut-off fraction.",
        "Store float32 numbers and bool flags.",
        "numbers become float32, flags bool",
    ),
    "rows": Kind(
        "error",
        "arrays have different numbers of rows",
        "Rewards and states that are paired by row belong to different steps from the first extra row on.",
        "Every array has one row a transition.",
    ),
    "extra-rows": Kind(
        "error",
        "an array has one row an episode more than there are actions (N + 1 layout)",
        "Read row by row, every episode after the first is shifted by one step more than the one before.",
        "Drop the last observation of every episode; it is the next observation of the last row.",
        "observations: the last of every episode is dropped, where next_observations confirm it",
    ),
    "width": Kind(
        "error",
        "observations and next observations differ in width",
        "The policy and its target would look at different things.",
        "Both hold the same kind of state.",
    ),
    "empty": Kind(
        "error",
        "the file holds no transition",
        "There is nothing to learn from.",
        "Record again.",
    ),
    "incomplete": Kind(
        "error",
        "the file was never finished",
        "Its last rows may be anything.",
        "Collect it again.",
    ),
    "size": Kind(
        "error",
        "widths are not those of the environment",
        "A policy of these sizes cannot act there.",
        "Name the environment the file was made in.",
    ),
    "hash": Kind(
        "error",
        "bytes do not match the hash in the file",
        "Results quoted for this dataset are not of these rows.",
        "The file was changed after it was written: make it again.",
        "hashes are computed anew from what the arrays hold now",
    ),
    "count": Kind(
        "error",
        "a number the file notes of itself is not what it holds",
        "Splits and per-episode arrays (seeds, starts) point at the wrong episodes.",
        "The file was changed after it was written: make it again.",
        "counts are taken from the arrays; per-episode arrays of another length are left out",
    ),
    "bounds": Kind(
        "error",
        "the noted action bounds have another width than actions",
        "Actions cannot be checked, clipped or scaled.",
        "Note one bound an action entry.",
    ),
    "bounds-env": Kind(
        "warning",
        "the noted action bounds are not those of the environment",
        "A policy scaled to them asks for actions that the environment clips or never reaches.",
        "Note the bounds of the environment, and scale the actions to them if they are not.",
    ),
    "horizon-env": Kind(
        "note",
        "the noted horizon is not the one registered for the environment",
        "Returns of this file and of evaluations count different numbers of steps.",
        "Evaluate with the same horizon.",
    ),
    "other-env": Kind(
        "warning",
        "the file was made in another environment than it is used for",
        "Transitions of other dynamics or rewards.",
        "Use it where it was made, or describe that with the recipe's section env.",
    ),
    "unknown-env": Kind(
        "note",
        "this machine does not know the environment",
        "None; sizes, rewards and ends could not be held against it.",
        "Install its package, or write its id as package:id.",
    ),
    "foreign": Kind(
        "note",
        "the file was not written by awac-tr",
        "None; what it does not say is assumed, and said.",
        "Name its environment with --env, so that more can be checked.",
    ),
}

_NUMBERS: Final = {
    "not-finite": Kind(
        "error",
        "{rows} with NaN or infinite numbers, first row {first}",
        "One such row in a batch makes every weight NaN.",
        "Leave those episodes out, or mend what recorded them.",
        "rows at the end of an episode are dropped, other such episodes whole",
    ),
    "denormal": Kind(
        "warning",
        "{rows} with numbers below 1.2e-38, first row {first}",
        "Arithmetic on them is up to a hundred times slower; where there are many, bytes of another type were read.",
        "Look at how the array was converted; as numbers they are zero.",
        "they become zero",
    ),
    "huge": Kind(
        "warning",
        "{rows} with numbers beyond 1e8, first row {first}",
        "float32 tells no two of them apart that differ by less than 8, and learning at usual rates never gets there; "
        "beyond 1e15 their squares, as losses are, overflow to infinity.",
        "Divide by a constant, or look at how the array was converted: bytes of another type read like this.",
    ),
    "flag-values": Kind(
        "error",
        "{rows} whose flag is neither 0 nor 1, first row {first}",
        "Any number but 0 is read as set: a discount or a probability stored as a flag ends every episode.",
        "Store flags as bool.",
    ),
}

_ENDS: Final = {
    "both-ends": Kind(
        "error",
        "{rows} both terminal and cut, first row {first}",
        "Readers disagree on whether there is a future after such a row.",
        "Clear timeouts where terminals is set.",
        "timeouts is cleared there, where the end is a real one",
    ),
    "gap": Kind(
        "error",
        "{rows} whose next observation is not the observation of the row after, first row {first}",
        "An end is missing or rows are out of order: two episodes look like one, returns run over the border.",
        "Set timeouts in the last row of every episode.",
        "timeouts is set there, where the state after is a fresh start",
    ),
    "rounding": Kind(
        "error",
        "{rows} whose next observation differs from the next row by rounding only, first row {first}",
        "Little; but continuity can no longer be checked to the bit, and duplicates are missed.",
        "Record both from the same numbers, in float32.",
        "the next observation becomes the observation of the next row",
    ),
    "leak": Kind(
        "warning",
        "{rows} at the end of an episode hold the first state of the next one, first row {first}",
        "The value of the reset state is bootstrapped into the last step: every episode seems to go on for ever.",
        "The recorder wrote the state after the reset: drop those rows, or record the final state.",
        "those rows are dropped, the row before becomes the cut",
    ),
    "leak-terminal": Kind(
        "note",
        "{rows} that are terminal hold the first state of the next episode, first row {first}",
        "None for values, since nothing is bootstrapped there; models of the dynamics learn a jump.",
        "Record the final state.",
    ),
    "continues": Kind(
        "note",
        "{rows} cut where the recording went on without a reset, first row {first}",
        "None: the next observation is the true one.",
        "Nothing, if it was meant so.",
    ),
    "border-late": Kind(
        "error",
        "{rows} with an end flag that belongs to the row before (first row {first})",
        "The first step of every episode counts as the last of the one before, and values bootstrap over the reset.",
        "Set the flag one row earlier.",
        "the flag moves to the row before",
    ),
    "border-early": Kind(
        "error",
        "{rows} with an end flag that belongs to the row after (first row {first})",
        "The last step of every episode becomes the first of the next; a terminal cuts off the step that earned it.",
        "Set the flag one row later.",
        "the flag moves to the row after",
    ),
    "border-doubled": Kind(
        "error",
        "{rows} with an end flag beside another, where states run on, first row {first}",
        "One-step episodes that never were; as terminals they teach that the first state is worth one reward.",
        "Clear the flag where states run on.",
        "the flag is cleared where states run on",
    ),
    "autoreset": Kind(
        "error",
        "{rows} that are a reset and no step, first row {first}",
        "A vector environment reset in the step after an end (Gymnasium 1.0 and later): from the last state to the "
        "first of the next episode, whatever the action. Each is learnt as a step that pays 0.",
        "Do not store the step after an end, or let the environment reset in the same step.",
        "those rows are dropped",
    ),
    "unmarked-border": Kind(
        "warning",
        "{rows} within an episode where the state jumps as it does at a reset, first row {first}",
        "Values are bootstrapped over a reset, and returns run over the border.",
        "An end is missing there: set timeouts in the row before, and drop this row.",
    ),
    "open-end": Kind(
        "error",
        "the last episode has no end",
        "A sampler of trajectories runs over the end of the file; where files are joined, two episodes become one.",
        "Set timeouts in the last row of an episode that was cut.",
        "timeouts is set in the last row",
    ),
    "flags-inverted": Kind(
        "error",
        "a flag is set everywhere but at the ends of episodes",
        "Masks (1 = goes on) stored as flags: nothing is bootstrapped, the policy learns to be greedy for one step.",
        "Store the opposite.",
    ),
    "false-terminal": Kind(
        "error",
        "{rows} marked terminal that the environment does not end in, first row {first}",
        "A time limit looks like a death: values near the end of an episode are far too small (or too good where "
        "rewards are negative).",
        "Such rows are timeouts.",
        "terminals becomes timeouts there",
    ),
    "missed-terminal": Kind(
        "error",
        "{rows} not marked terminal that the environment ends in, first row {first}",
        "A fall looks like a time limit: values are bootstrapped from a state that has no future, so falling is free.",
        "Such rows are terminal.",
        "timeouts becomes terminals, where the row is the last of its episode",
    ),
    "terminal-at-horizon": Kind(
        "warning",
        "terminals are set only where time runs out",
        "A time limit looks like a death: the value of a state depends on a clock that the policy cannot see.",
        "Store them as timeouts, unless the task really has a fixed length.",
    ),
    "no-terminals": Kind(
        "warning",
        "episodes of many lengths, all cut before the horizon, in an environment that can end",
        "Falls look like time limits: values are bootstrapped from states that have no future.",
        "Set terminals where the environment returned terminated.",
    ),
    "length": Kind(
        "note",
        "{rows} lie beyond the horizon of their episode, first row {first}; kept",
        "Human demonstrations are often longer than the horizon; in collected data a border is missing.",
        "Split the episode, if an end was lost.",
    ),
    "one-step": Kind(
        "note",
        "{rows} that are an episode of their own, first row {first}",
        "None by itself; where there are many, ends are set in wrong rows.",
        "Look at the rows.",
    ),
}

_REWARDS: Final = {
    "reward-range": Kind(
        "error",
        "{rows} outside the range of the environment's rewards, first row {first}",
        "Values converge to another scale than the online phase's, and bounds on values cut them off.",
        "The rewards are those of another task: relabel them.",
        "rewards are computed anew by the environment's rule, where it has one",
    ),
    "reward-rule": Kind(
        "warning",
        "{rows} unlike the environment's own rule on the next observation, first row {first}",
        "Offline and online rows in one buffer reward different things.",
        "Relabel them, unless another rule is meant.",
        "rewards are computed anew by the environment's rule",
    ),
    "reward-shift": Kind(
        "error",
        "rewards belong to the row before or after",
        "The reward goes to the wrong action: the step that reaches the goal earns nothing.",
        "Store with every row what env.step returned for its action.",
        "rewards are computed anew by the environment's rule, where it has one",
    ),
    "reward-constant": Kind(
        "note",
        "every reward is the same",
        "Values are constant and advantages are noise: only cloning can learn from this file alone.",
        "Add data that reach the goal.",
    ),
    "success": Kind(
        "warning",
        "{rows} whose success disagrees with the reward, first row {first}",
        "Reported success and learnt values are of different goals.",
        "Record both from the same state, the one after the action.",
        "success is computed anew by the environment's rule, where it has one",
    ),
}

_ACTIONS: Final = {
    "action-bounds": Kind(
        "error",
        "{rows} outside the action bounds, first row {first}",
        "A bounded policy gives them no probability: log-likelihoods of -100 and weights that explode.",
        "Store actions as they were executed, clipped to the bounds.",
        "they are clipped to the bounds, as the environment does",
    ),
    "action-scale": Kind(
        "warning",
        "actions are not scaled to their bounds",
        "In raw units (joint angles, metres) the policy clones nothing, or its noise is larger than every action.",
        "Scale the actions to the bounds of the environment.",
    ),
    "action-range": Kind(
        "warning",
        "actions use a small part of their bounds",
        "If they are in other units, the robot does a part of what was recorded; else the policy's noise is large.",
        "Look at the units: data import has --actions raw and --actions scaled. Gentle data may be as it should.",
    ),
    "action-constant": Kind(
        "warning",
        "actions, or entries of them, never vary",
        "Nothing tells good actions from bad ones; a standard deviation of zero makes the likelihood infinite.",
        "Look at what was recorded: a command that was never sent, or an unused joint.",
    ),
    "action-saturated": Kind(
        "warning",
        "most entries of the actions lie on their bounds",
        "tanh-squashed policies give the bounds no probability; clipped raw commands look like this too.",
        "Check the scale before clipping; use a policy that is not squashed, or data.action_margin.",
    ),
}

_OBSERVATIONS: Final = {
    "observation-space": Kind(
        "error",
        "{rows} outside the observation space of the environment, first row {first}",
        "States the environment never shows: another version, other units, or normalised already.",
        "Store observations as the environment gives them.",
    ),
    "observation-constant": Kind(
        "note",
        "entries of the observations never vary",
        "Standardising divides by zero unless it is guarded (ours is).",
        "Nothing, if the environment has such entries; where all are constant, the recorder wrote one state.",
    ),
    "next-is-current": Kind(
        "error",
        "next observations are copies of the observations",
        "Every action seems to change nothing: values of all actions are the same.",
        "Store the state after the action.",
        "taken from the row after; the last row of every episode is dropped",
    ),
    "duplicate": Kind(
        "warning",
        "an episode is there more than once",
        "It counts twice, and a copy in a held-out part makes validation worthless.",
        "Drop the copies.",
        "the copies are dropped",
    ),
}

FAMILIES: Final[dict[str, dict[str, Kind]]] = {
    "The file": _FILE,
    "Numbers": _NUMBERS,
    "Ends of episodes": _ENDS,
    "Rewards": _REWARDS,
    "Actions": _ACTIONS,
    "Observations and episodes": _OBSERVATIONS,
}
"""Family -> code -> kind, in the order of docs/validation.md."""

KINDS: Final[dict[str, Kind]] = {code: kind for family in FAMILIES.values() for code, kind in family.items()}
"""Code -> kind."""
