"""Training: the same bits whatever interrupts it, the same faces for every method."""

import copy
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from interrupted import Interruption, assert_same_bits, interrupt_after, without_time

from dclib import data, paths
from dclib.errors import DataError, RunError
from dclib.factory import build
from dclib.fast import choose
from dclib.fast.ways import Measured
from dclib.records import runs
from dclib.records.experiment import Experiment
from dclib.study import plans
from dclib.study.plans import presets
from dclib.training.batches import draws_of_epoch, face_sets
from dclib.training.checkpoint import CHECKPOINT
from dclib.training.judging import judge
from dclib.training.loop import Run, make_network, train
from dclib.training.optimiser import make_optimiser, rate
from dclib.training.verify import verify

CPU = choose(torch.device("cpu"))


def tiny(method: str = "RN-S", **changes) -> Experiment:
    return plans.experiment(
        "smoke", method, **{"train_faces": 48, "batch": 16, "epochs": 3, "lr": 0.1} | changes
    )


def interrupted(experiment: Experiment, epochs: int = 1) -> Path:
    """The checkpoint of a run that was stopped after so many epochs."""
    with pytest.raises(Interruption):
        train(experiment, interrupt_after(epochs))
    return paths.store() / experiment.id / CHECKPOINT


def test_an_interrupted_run_ends_with_the_same_bits(store, monkeypatch):
    experiment = tiny("XS", epochs=7)
    whole = train(experiment)
    monkeypatch.setenv("DCLIB_STORE", str(store.with_name("other")))
    for epochs in (1, 4, 7):  # before, within and after the last five
        interrupted(experiment, epochs)
    assert_same_bits(train(experiment), whole)


@pytest.mark.slow
def test_a_killed_process_loses_at_most_its_epoch(store, monkeypatch):
    """SIGKILL at several moments; in the end predictions and history equal an undisturbed run's."""
    experiment = tiny("RN-S", epochs=12)
    code = (
        "import json, sys\n"
        "from dclib.records.experiment import Experiment\n"
        "from dclib.training.loop import train\n"
        "experiment = Experiment.from_dict(json.loads(sys.argv[1]))\n"
        "train(experiment, lambda row: print(row['epoch'], flush=True))\n"
    )

    def start() -> subprocess.Popen:
        words = [sys.executable, "-c", code, experiment.to_json()]
        return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)

    seen = []
    for epochs, delay in ((1, 0.0), (2, 0.08)):
        with start() as process:
            assert process.stdout is not None
            for _ in range(epochs):
                seen.append(int(process.stdout.readline()))
            time.sleep(delay)  # somewhere within an epoch, its scoring or its checkpoint
            process.send_signal(signal.SIGKILL)
            seen += [int(line) for line in process.stdout.read().split()]
    assert runs.existing(experiment) is None
    process = start()
    seen += [int(line) for line in process.communicate(timeout=120)[0].split()]
    assert process.returncode == 0
    assert seen == sorted(set(seen))  # an epoch that was reported is on disk: none is done twice
    assert set(range(12)) >= set(seen)
    assert len(seen) >= 12 - 2  # a kill may fall between an epoch's checkpoint and its report
    killed = runs.existing(experiment)
    monkeypatch.setenv("DCLIB_STORE", str(store.with_name("other")))
    whole = train(experiment)
    assert killed is not None
    assert without_time(killed) == without_time(whole)
    assert (killed.folder / runs.OUTCOMES).read_bytes() == (
        whole.folder / runs.OUTCOMES
    ).read_bytes()


def test_a_resumed_run_keeps_the_execution_it_began_with(store, monkeypatch):
    experiment = tiny(epochs=2)
    interrupted(experiment)
    monkeypatch.setenv("DCLIB_EXECUTION", "forms=plain")
    assert train(experiment).environment["forms"] == "fast"


def test_a_resumed_run_measures_nothing_again(store, monkeypatch):
    monkeypatch.delenv("DCLIB_EXECUTION")
    experiment = tiny("DCNet", epochs=2)
    interrupted(experiment)
    monkeypatch.setattr(Measured, "__init__", None)
    assert train(experiment).environment["forms"] == "measured"


def test_a_run_made_again_is_computed_as_its_record_says(store, monkeypatch):
    monkeypatch.setenv("DCLIB_EXECUTION", "forms=plain")
    first = train(tiny(epochs=1)).environment["forms"]
    monkeypatch.delenv("DCLIB_EXECUTION")
    assert (first, train(tiny(epochs=1)).environment["forms"]) == ("plain", "plain")
    found = train(tiny("DCNet", epochs=1))
    assert found.environment["forms"] == "measured"
    monkeypatch.setattr(Measured, "find", None)  # nothing is measured again
    again = train(tiny("DCNet", epochs=1))
    assert again.environment["ways"] == found.environment["ways"]
    assert_same_bits(again, found)


@pytest.mark.slow
def test_a_compiled_step_is_the_same_step(store, monkeypatch):
    """Traced and differentiated ahead of time; what a GPU makes of it needs one."""
    compiled, compiling = [], torch.compile

    def without_code(function, **settings):
        compiled.append(settings)
        return compiling(function, backend="aot_eager", fullgraph=True, dynamic=False)

    monkeypatch.setattr(torch, "compile", without_code)
    settings = {"train_faces": 24, "epochs": 2, "related": (("smile", 0.5),)}
    plain = train(tiny("DCNet", **settings))  # the last batch of an epoch is smaller
    assert not compiled
    monkeypatch.setenv("DCLIB_STORE", str(store.with_name("other")))
    monkeypatch.setenv("DCLIB_EXECUTION", "compile=yes")
    quick = train(tiny("DCNet", **settings))
    assert len(compiled) == 1
    assert quick.environment["compile"] == "yes"
    assert_same_bits(quick, plain)


def test_a_precision_that_is_asked_for_is_trained_in(store):
    """bf16 has 8 bits for a number's digits: losses differ from the third digit or so on."""
    full, half = train(tiny()), train(tiny(precision="bf16"))
    assert full.environment["precision"] == "fp32"
    assert half.environment["precision"] == "bf16"
    losses = [[row["loss.landmarks"] for row in record.history] for record in (full, half)]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)


def test_a_checkpoint_of_another_experiment_is_refused(store):
    one, other = tiny(epochs=2), tiny(epochs=2, lr=0.2)
    (store / other.id).mkdir(parents=True)
    interrupted(one).rename(store / other.id / CHECKPOINT)
    with pytest.raises(RunError, match=r"belongs to another experiment.*remove it"):
        train(other)


def test_a_full_disk_keeps_the_last_epoch(store, monkeypatch):
    experiment = tiny(epochs=3)
    checkpoint = interrupted(experiment)
    before = checkpoint.read_bytes()
    checkpoint.with_name(f".{CHECKPOINT}.ab12").touch()  # of a process that was killed

    def full(file):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(RunError, match=r"No space left.*free space"):
            train(experiment)
    assert [p.name for p in (store / experiment.id).iterdir()] == [CHECKPOINT]
    assert checkpoint.read_bytes() == before
    assert len(train(experiment).history) == 3


def test_a_checkpoint_that_changed_on_disk_is_refused(store):
    experiment = tiny(epochs=2)
    path = interrupted(experiment)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1  # among the weights, where torch would not see it
    for damaged in (content, b"\x80\x02not a checkpoint"):
        path.write_bytes(damaged)
        with pytest.raises(RunError, match=r"cannot be read .*damaged.*remove it, and training"):
            train(experiment)


def test_related_tasks_that_the_data_do_not_have_are_refused(store):
    with pytest.raises(RunError, match=r"names \['simle'\].* has the tasks .*'smile'"):
        train(replace(tiny(), related=(("simle", 0.5),)))


def test_a_method_that_is_not_there_is_named(store):
    with pytest.raises(RunError, match="method 'mine' is unknown; there are RN-S, "):
        train(replace(tiny(), method="mine"))


def test_the_curve_of_failures_ends_at_the_outcomes(store):
    record = train(tiny(epochs=2))
    last = record.history[-1]
    for decoder, errors in record.outcomes.errors.items():
        assert last[f"failure.{decoder}"] == pytest.approx((errors[-1] > 0.1).mean(), abs=1e-5)


def test_a_loss_that_is_not_finite_stops_the_run(store):
    with pytest.raises(RunError, match=r"epoch 0, step .*lower lr"):
        train(tiny(lr=1e30))


def test_other_data_than_named_are_refused(store):
    with pytest.raises(DataError, match=r"has fingerprint .* names 00"):
        train(replace(tiny(), fingerprint="00"))
    with pytest.raises(RunError, match="train_faces=1000000"):
        train(tiny(train_faces=1_000_000))


def test_draws_come_from_try_epoch_and_face_alone():
    keys, uniforms = draws_of_epoch(try_=0, epoch=3, faces=100)
    torch.manual_seed(1)
    np.random.default_rng(1).random(7)
    again = draws_of_epoch(try_=0, epoch=3, faces=100)
    assert np.array_equal(keys, again[0])
    assert np.array_equal(uniforms, again[1])
    more = draws_of_epoch(try_=0, epoch=3, faces=250)  # a face's draws do not depend on how many
    assert np.array_equal(more[1][:100], uniforms)
    for try_, epoch in ((1, 3), (0, 4)):
        assert not np.array_equal(draws_of_epoch(try_, epoch, 100)[1], uniforms)
    assert uniforms.min() >= 0
    assert uniforms.max() < 1
    assert uniforms.mean() == pytest.approx(0.5, abs=0.06)


def test_every_method_sees_the_same_batches(monkeypatch):
    """Construction uses random numbers too; they must not reach the stream of faces."""
    seen: dict[str, list[torch.Tensor]] = {}
    for method in ("RN-S", "DCNet", "XS"):
        run = Run(tiny(method, train_faces=32), CPU)
        batches = seen.setdefault(method, [])
        run.step = lambda images, *_, kept=batches: kept.append(images) or {"landmarks": 1.0}
        run.epoch()
    for one, two, three in zip(*seen.values(), strict=True):
        assert torch.equal(one, two)
        assert torch.equal(one, three)


def test_an_epoch_shows_every_face_once():
    run = Run(tiny(train_faces=33, batch=8, augmentation="none"), CPU)
    seen = []
    run.step = lambda images, *_: seen.append(images) or {"landmarks": 1.0}
    run.epoch()
    assert [len(b) for b in seen] == [8, 8, 8, 8]  # a last batch of one cannot be normalised
    distinct = torch.cat(seen).flatten(1).unique(dim=0)
    assert len(distinct) == 32


def test_splits_share_no_group_and_subsets_are_nested():
    train_set, small, scored = face_sets(tiny(split="validation", train_faces=40))
    _, large, _ = face_sets(tiny(split="validation", train_faces=80))
    assert list(large[:40]) == list(small)
    assert not set(train_set.groups[large]) & set(scored.groups)
    _, _, test = face_sets(tiny())
    assert len(test) == len(data.load("synthetic", 64)[1])


def test_the_full_protocol_trains_on_the_validation_faces_too():
    train_set, order, _ = face_sets(replace(tiny(), holdout=False, train_faces=None))
    assert sorted(order) == list(range(len(train_set)))
    _, held, _ = face_sets(replace(tiny(), holdout=True, train_faces=None))
    assert len(held) == len(train_set) - round(0.1 * len(train_set))


def test_schedule_by_hand():
    assert rate("constant", 0.7) == 1
    assert rate("one-cycle", 0.0) == pytest.approx(0.04)
    assert rate("one-cycle", 0.15) == pytest.approx(0.52)
    assert rate("one-cycle", 0.3) == 1
    assert rate("one-cycle", 0.65) == pytest.approx(0.5)
    assert rate("one-cycle", 1.0) == pytest.approx(0.0)


def test_cross_stitch_units_learn_at_their_own_rate_without_decay():
    experiment = tiny("XS", unit_rate=100.0)
    net = make_network(experiment)
    groups = make_optimiser(experiment, net).param_groups
    assert [(g["lr"], g["weight_decay"]) for g in groups] == [(0.1, 5e-4), (10.0, 0.0)]
    assert {id(p) for p in groups[1]["params"]} == {id(p) for p in net.mixers.parameters()}
    assert sum(len(g["params"]) for g in groups) == len(list(net.parameters()))
    assert len(make_optimiser(tiny("DCNet"), make_network(tiny("DCNet"))).param_groups) == 1


def test_a_step_is_plain_sgd():
    """One step against torch's functional gradients and the update written out."""
    experiment = tiny("RN", momentum=0.0, weight_decay=0.0, weighting="per_task")
    run = Run(experiment, CPU)
    run.net.train()
    for group in run.optimiser.param_groups:
        group["lr"] = 0.5
    twin = copy.deepcopy(run.net)
    chosen = torch.arange(8)
    images, targets = run.faces.batch(chosen, torch.full((8, 6), 0.5), None)
    run.step(images, targets, run.weights)
    logits = twin(images)
    loss = sum(t.loss(logits[t.name], targets[t.name]) for t in twin.tasks)
    gradients = torch.autograd.grad(loss, list(twin.parameters()))
    for after, before, gradient in zip(
        run.net.parameters(), twin.parameters(), gradients, strict=True
    ):
        torch.testing.assert_close(after, before - 0.5 * gradient, atol=1e-6, rtol=1e-4)


def test_related_tasks_without_weight_change_nothing_in_hard_sharing():
    """With weights 0 the landmark loss alone moves the trunk: the heads of the others stay."""
    run = Run(tiny("RN", related=presets.NO_RELATED, weight_decay=0.0), CPU)
    before = copy.deepcopy(run.net.heads[1].state_dict())
    run.net.train()
    batch = run.faces.batch(torch.arange(8), torch.full((8, 6), 0.5), None)
    run.step(*batch, run.current_weights())
    after = run.net.heads[1].state_dict()
    assert torch.equal(before["0.weight"], after["0.weight"])


def test_outcomes_by_hand():
    """A prediction that equals the truth has error 0; one moved by half the eye distance, 0.5."""
    _, _, scored = face_sets(tiny())
    tasks = build("RN", tasks=data.DATASETS["synthetic"].tasks(64), width=0.125).tasks
    truth = np.asarray(scored.landmarks, dtype=np.float64)
    eyes = np.linalg.norm(truth[:, 0] - truth[:, 1], axis=-1)
    moved = truth + np.stack([eyes / 2, np.zeros_like(eyes)], -1)[:, None]
    labels = {t.name: np.asarray(scored.labels[t.name]) for t in tasks[1:]}
    wrong = {name: 1 - values if name == "gender" else values for name, values in labels.items()}
    found = judge(
        [{"bin": truth, "soft": truth} | labels, {"bin": moved, "soft": truth} | wrong],
        scored,
        tasks,
    )
    assert found.errors["bin"][0] == pytest.approx(np.zeros(len(scored)), abs=1e-6)
    assert found.errors["bin"][1] == pytest.approx(np.full(len(scored), 0.5), abs=1e-6)
    assert found.accuracy["gender"].tolist() == [1.0, 0.0]
    assert found.accuracy["profile"].tolist() == [1.0, 1.0]


def test_verification_finds_what_was_changed(store):
    record = train(tiny("RN", epochs=2))
    assert verify(record) == []
    found = record.outcomes
    found.bins[0, 3, 0, 0] += 9
    found.classes["smile"][:] = 0
    assert verify(record) == ["landmark errors (bin) of kept epoch 0", "smile labels"]


@pytest.mark.slow
def test_training_learns(store):
    """A slim network on synthetic faces does far better than the mean face."""
    experiment = tiny("RN-S", train_faces=512, epochs=30, batch=32)
    train_set, order, test = face_sets(experiment)
    margin = (train_set.images.shape[-1] - 64) / 2
    mean_face = (np.asarray(train_set.landmarks)[order] - margin).mean(axis=0)
    truth = np.asarray(test.landmarks)
    eyes = np.linalg.norm(truth[:, 0] - truth[:, 1], axis=-1)
    baseline = (np.linalg.norm(truth - mean_face, axis=-1).mean(axis=1) / eyes).mean()
    error = train(experiment).outcomes.errors["bin"][-1].mean()
    assert error < 0.65 * baseline
    assert paths.store() == store
