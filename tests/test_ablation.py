"""Ablations against networks ablated one by one, values worked by hand, and what files hold."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fake_records import fake_record
from toy_columns import CHANNELS, SIZE, TASKS, column, network

from dclib import CollaborativeBlock, metrics, paths
from dclib.__main__ import main
from dclib.data.augment import normalise
from dclib.errors import RunError
from dclib.methods.deep_collaboration import METHOD
from dclib.methods.hard_sharing import hard_sharing
from dclib.records import runs
from dclib.study import plans
from dclib.study.analysis import ablating, ablation
from dclib.study.analysis.ablation import CONTENTS, Ablation
from dclib.study.analysis.stats import relative_change
from dclib.study.plans.presets import experiment
from dclib.training.judging import face_sizes, true_points
from dclib.use.inference import network as trained_network


def randomise(net):
    """Weights and statistics of which none is 0 or 1; in double precision, in evaluation mode."""
    generator = torch.Generator().manual_seed(0)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
            torch.nn.init.normal_(module.weight, generator=generator)
            torch.nn.init.normal_(module.bias, generator=generator)
    return net.double().eval()


def one_by_one(net, images, content, task, block):
    """Logits with one task's features replaced at one block: the plain way."""
    channels = net.mixers[block].channels
    first = sum(channels[:task])

    def replaced(_, given):
        together = given[0].clone()
        own = together[:, first : first + channels[task]]
        other = torch.cat([own[-1:], own[:-1]]) if content == "other face" else 0.0 * own
        together[:, first : first + channels[task]] = other
        return (together,)

    hook = net.mixers[block].central.register_forward_pre_hook(replaced)
    logits = net(images)
    hook.remove()
    return logits


def uneven():
    """Columns with different numbers of feature maps."""
    channels = [CHANNELS, (6, 9, 21), (5, 5, 5)]
    return METHOD.assemble(TASKS, [column(c) for c in channels], channels)


def images(count):
    torch.manual_seed(3)
    return torch.randn(count, 3, SIZE, SIZE, dtype=torch.float64)


class TestNetworks:
    @pytest.mark.parametrize("make", [lambda: network(METHOD), uneven])
    @torch.no_grad()
    def test_all_at_once_is_one_by_one(self, make):
        net, seen = randomise(make()), images(5)
        with ablating.ablating(net, 5):
            at_once = net(seen)
        expected = [net(seen)] + [
            one_by_one(net, seen, content, task, block)
            for block in range(3)
            for content in CONTENTS
            for task in range(3)
        ]
        for name, logits in at_once.items():
            parts = logits.split(5)
            assert len(parts) == len(expected) == 1 + 3 * 2 * 3
            for part, alone in zip(parts, expected, strict=True):
                torch.testing.assert_close(part, alone[name], rtol=1e-10, atol=1e-10)
            different = {p.numpy().tobytes() for p in parts}
            assert len(different) == len(parts)  # each ablation does something else

    @torch.no_grad()
    def test_only_what_h_gets_is_replaced(self):
        """With x_2 gone from H, y_1 cannot depend on x_2, and y_2 still does."""
        block = randomise(CollaborativeBlock([4, 6]))
        x1, x2 = images(2)[:, :1].repeat(1, 4, 1, 1), images(2)[:, 1:].repeat(1, 3, 1, 1)

        def without_second(second):
            with ablating.ablating(SimpleNamespace(mixers=[block]), 2):
                y1, y2 = block([x1, second])
            return y1.split(2)[2], y2.split(2)[2]  # intact, zeros for task 1, zeros for task 2

        (y1, y2), (moved1, moved2) = without_second(x2), without_second(x2 + 1)
        assert torch.equal(y1, moved1)
        assert not torch.allclose(y2, moved2)
        assert not torch.allclose(block([x1, x2])[0], block([x1, x2 + 1])[0])

    @torch.no_grad()
    def test_a_network_is_left_as_it_was(self):
        net, seen = randomise(network(METHOD)), images(3)
        before = net(seen)
        with pytest.raises(RuntimeError), ablating.ablating(net, 3):
            net(seen[:, :2])  # images of two colours
        assert not any(m._forward_pre_hooks for m in net.modules())
        assert all(torch.equal(of, before[name]) for name, of in net(seen).items())

    @torch.no_grad()
    def test_features_of_the_same_face_change_nothing(self):
        net, seen = randomise(network(METHOD)), images(1).repeat(4, 1, 1, 1)
        with ablating.ablating(net, 4):
            parts = net(seen)["landmarks"].split(4)
        for block in range(3):
            zeros, other = 1 + 6 * block, 4 + 6 * block
            assert all(torch.allclose(p, parts[0]) for p in parts[other : other + 3])
            assert not any(torch.allclose(p, parts[0]) for p in parts[zeros : zeros + 3])

    def test_each_face_is_in_one_batch_with_others(self):
        for faces in (2, 63, 64, 65, 66, 127, 128, 129, 2995):
            batches = ablating.batches(faces)
            assert sorted(np.concatenate(batches)) == list(range(faces))
            assert all(2 <= len(batch) <= ablation.BATCH for batch in batches)
            again = ablating.batches(faces)
            assert all((a == b).all() for a, b in zip(batches, again, strict=True))

    def test_there_is_a_replacement_for_every_content(self):
        assert tuple(ablating.CONTENT) == CONTENTS


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store with a network trained for a moment, and scored on 70 faces."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("ablation")
        patch.setenv("DCLIB_STORE", str(folder / "store"))
        patch.setenv("DCLIB_RESULTS", str(folder / "results"))
        original = ablating.face_sets

        def few(e):
            train, order, scored = original(e)
            return train, order, scored.subset(np.arange(70))

        patch.setattr("dclib.training.loop.face_sets", few)
        patch.setattr("dclib.study.analysis.ablating.face_sets", few)
        from dclib.training.loop import train

        small = {"epochs": 1, "train_faces": 32, "batch": 16, "resolution": 32}
        record = train(experiment("smoke", "DCNet", **small))
        other = train(experiment("smoke", "RN-S", **small))
        yield SimpleNamespace(record=record, other=other, scored=few(record.experiment)[2])


@pytest.fixture(scope="module")
def evaluated(store):
    return ablating.evaluate(store.record)


class TestEvaluation:
    def test_intact_network_is_the_records(self, store, evaluated):
        for decoder, errors in store.record.outcomes.errors.items():
            assert (evaluated.intact[decoder] == (errors[-1] > metrics.THRESHOLD)).all()
            assert evaluated.intact_errors[decoder] == pytest.approx(errors[-1].mean(), abs=1e-3)
        for label, shares in store.record.outcomes.accuracy.items():
            assert evaluated.intact_accuracy[label] == shares[-1]

    @pytest.mark.parametrize(("task", "block"), [(0, 0), (4, 2), (2, 4)])
    @pytest.mark.parametrize("content", CONTENTS)
    @torch.no_grad()
    def test_a_cell_is_what_the_ablated_network_makes_of_the_faces(
        self, store, evaluated, content, task, block
    ):
        net, scored = trained_network(store.record), store.scored
        found = {"points": torch.zeros(70, 5, 2), "smile": torch.zeros(70)}
        for batch in ablating.batches(70):
            seen = normalise(torch.from_numpy(np.array(scored.images[batch])))
            logits = one_by_one(net, seen, content, task, block)
            found["points"][batch] = net.tasks[0].decode(logits["landmarks"], "soft")
            found["smile"][batch] = logits["smile"].argmax(dim=1).float()
        errors = metrics.normalised_errors(found["points"], true_points(scored), face_sizes(scored))
        assert (evaluated.failed[content]["soft"][task, block] == (errors > 0.10)).all()
        mean = evaluated.errors[content]["soft"][task, block]
        assert mean == pytest.approx(errors.mean(), rel=1e-4)
        right = found["smile"].numpy() == scored.labels["smile"]
        assert evaluated.accuracy[content]["smile"][task, block] == right.mean()

    @torch.no_grad()
    def test_what_is_added_is_what_a_block_changes(self, store, evaluated):
        """Without the ReLU of Eq. 1, F_t is y_t - x_t; with its BatchNorms at zero it is none."""
        net, scored = trained_network(store.record), store.scored
        seen = normalise(torch.from_numpy(np.array(scored.images)))
        maps = [column[0](seen) for column in net.columns]
        net.mixers[0].outer_relu = False
        for task, (x, y) in enumerate(zip(maps, net.mixers[0](maps), strict=True)):
            share = (y - x).flatten(1).norm(dim=1) / x.flatten(1).norm(dim=1)
            assert evaluated.added[task, 0] == pytest.approx(share.mean().item(), rel=1e-4)
        assert evaluated.added.shape == (5, 5)
        for name, weights in net.mixers[3].specific[2].named_parameters():
            weights.mul_("weight" in name and weights.dim() > 1)  # those of its BatchNorms
        again = ablating.added(net, scored)
        assert (again == 0).nonzero()[0].tolist() == [2]
        assert again[2, 3] == 0

    def test_turned_faces_add_up_to_the_change_of_accuracy(self, evaluated):
        for content in CONTENTS:
            for label, turned in evaluated.turned[content].items():
                change = (turned[..., 1] - turned[..., 0]) / evaluated.known[label]
                after = evaluated.intact_accuracy[label] + change
                np.testing.assert_allclose(evaluated.accuracy[content][label], after, atol=1e-12)

    def test_a_method_without_blocks_is_refused(self, store):
        for record, name in ((store.other, "RN-S"), (fake_record("XS"), "XS")):
            with pytest.raises(RunError, match=f"is {name}: only networks with collaborative bl"):
                ablating.evaluate(record)

    def test_missing_weights_name_the_command_that_makes_them(self, store):
        record = fake_record()
        with pytest.raises(RunError, match=f"`python -m dclib train --run {record.id}`"):
            ablating.evaluate(record)

    def test_another_network_than_the_records_is_refused(self, store, evaluated):
        flipped = {d: ~failed for d, failed in evaluated.intact.items()}
        with pytest.raises(RunError, match="not the one of its record"):
            ablation.agree(replace(evaluated, intact=flipped), store.record)


class TestFiles:
    def test_earlier_ones_do_not_have_what_is_added(self, evaluated):
        values = json.loads(evaluated.to_bytes())
        np.testing.assert_array_equal(Ablation.from_dict(values).added, evaluated.added)
        del values["added"]
        earlier = Ablation.from_dict(values)
        assert earlier.added is None
        assert json.loads(earlier.to_bytes()) == values

    def test_what_is_kept_is_found_again_committed_first(self, store, evaluated):
        assert ablation.find([store.record]) == []
        (made,) = ablating.require([store.record])
        assert ablation.path(made.run).exists()
        (found,) = ablation.find([store.record])
        np.testing.assert_equal(*(vars(a) | {"environment": None} for a in (found, made)))
        assert found.environment == made.environment
        marked = replace(made, environment=made.environment | {"marked": True})
        assert ablation.publish(marked).parent.parent == paths.results() / "ablation"
        assert ablation.find([store.record])[0].environment["marked"]

    def test_a_run_trained_again_is_compared_with_its_own_record(self, store, evaluated):
        """Not with a committed one, which another machine may have made."""
        kept = store.record.outcomes
        elsewhere = replace(
            kept, errors={d: np.where(e > 0.1, 0.05, 0.2) for d, e in kept.errors.items()}
        )
        folder = paths.results() / "runs" / store.record.id
        folder.mkdir(parents=True)
        committed = runs.save(
            folder, store.record.experiment, store.record.environment, [], elsewhere
        )
        ablation.path(committed.id, committed=True).unlink(missing_ok=True)
        try:
            with pytest.raises(RunError, match="not the one of its record"):
                ablation.agree(evaluated, committed)
            for again in (ablating.evaluate(committed), *ablating.require([committed])):
                np.testing.assert_equal(again.intact, evaluated.intact)
        finally:
            shutil.rmtree(folder)

    def test_a_file_is_small_and_holds_no_truth(self, evaluated):
        content = evaluated.to_bytes()
        assert len(content) < 20_000
        assert not {"landmarks", "labels", "classes"} & json.loads(content).keys()

    @pytest.mark.parametrize(
        ("damage", "told"),
        [
            (lambda text: text[: len(text) // 2], "cannot be read"),
            (lambda text: text.replace(b'"format": 1', b'"format": 99'), "has format 99"),
            (lambda text: text.replace(b'"faces": 70', b'"faces": 71'), "bits of failures"),
            (lambda text: text.replace(b'"failed": "', b'"failed": "AAAA'), "cannot be read"),
            (lambda text: b"[]", "cannot be read"),
            (lambda text: b"", "cannot be read"),
            (lambda text: text.replace(b'"zeros"', b'"ones"'), "cannot be read"),
            (lambda text: None, "cannot be read"),  # a file that is missing
        ],
    )
    def test_damaged_files_are_one_error_with_a_remedy(self, tmp_path, evaluated, damage, told):
        file = tmp_path / "abc123" / ablation.FILE
        content = damage(evaluated.to_bytes())
        if content is not None:
            file.parent.mkdir()
            file.write_bytes(content)
        with pytest.raises(RunError, match=told) as error:
            ablation.read(file)
        assert "`python -m dclib ablate abc123`" in str(error.value)

    def test_committed_evaluations_are_of_the_records_networks_to_the_face(self, monkeypatch):
        monkeypatch.delenv("DCLIB_STORE", raising=False)
        monkeypatch.delenv("DCLIB_RESULTS", raising=False)
        folders = sorted((paths.results() / "ablation").glob("*"))
        assert folders
        for folder in folders:
            file, record = folder / ablation.FILE, runs.load(folder.name)
            made = ablation.read(file)
            assert made.run == folder.name
            assert file.stat().st_size < 100_000
            for decoder, errors in record.outcomes.errors.items():
                assert (made.intact[decoder] == (errors[-1] > metrics.THRESHOLD)).all()


class TestCommand:
    def test_a_run_by_its_id(self, store, capsys):
        assert main(["ablate", store.record.id, "--publish"]) == 0
        printed = capsys.readouterr().out.strip()
        assert printed == str(ablation.path(store.record.id, committed=True))
        assert main(["ablate", store.other.id]) == 1
        assert "only networks with collaborative blocks" in capsys.readouterr().err

    def test_a_plan_takes_the_runs_that_can_be_ablated(self, store, capsys, monkeypatch):
        assert main(["ablate", "--preset", "smoke"]) == 1
        assert "train --plan fig6 --preset smoke`" in capsys.readouterr().err
        both = [store.other.experiment, store.record.experiment]
        monkeypatch.setitem(plans.FIGURES, "fig6", lambda preset: both)
        assert main(["ablate", "--preset", "smoke"]) == 0
        assert capsys.readouterr().out.strip() == f"{store.record.id}: evaluated"


class TestRelativeChange:
    def test_second_implementation(self):
        rng = np.random.default_rng(5)
        before = rng.random((1, 800)) < 0.3
        after = before | (rng.random((1, 800)) < 0.1)
        faces = rng.integers(800, size=(4000, 800))
        changes = 100 * (after[0][faces].sum(axis=1) / before[0][faces].sum(axis=1) - 1)
        found = relative_change(before, after)
        assert found.value == pytest.approx(100 * (after.sum() - before.sum()) / before.sum())
        low, high = np.quantile(changes, [0.025, 0.975])
        assert (found.low, found.high) == pytest.approx((low, high), rel=0.05)

    def test_tries_that_differ_widen_it_by_students_t(self):
        """Faces that all fare alike: three tries, a change of 10, 30 and 20 % of 0.2 each."""
        before = np.full((3, 40), 0.2)
        found = relative_change(before, before * [[1.1], [1.3], [1.2]])
        assert found.value == pytest.approx(20)
        assert found.high - 20 == pytest.approx(4.302653 * 10 / 3**0.5)

    def test_tries_and_faces_are_the_same_on_both_sides(self):
        """Where every try and face fails twice as often, there is nothing left to vary."""
        before = np.random.default_rng(0).random((3, 40)) * [[0.1], [0.2], [0.5]]
        found = relative_change(before, 2 * before)
        assert (found.value, found.low, found.high) == pytest.approx((100, 100, 100))

    def test_bad_input(self):
        with pytest.raises(ValueError, match="must be the same"):
            relative_change(np.ones((1, 3)), np.ones((2, 3)))
        with pytest.raises(ValueError, match="nothing fails before"):
            relative_change(np.zeros((1, 3)), np.ones((1, 3)))


class TestEffects:
    def test_by_task_and_block(self):
        intact = {"bin": np.arange(10) < 4, "soft": np.arange(10) < 2}
        cells = np.arange(10) < np.array([[4, 8, 4], [4, 4, 2]])[..., None]  # (T, D, N)
        failed = {"zeros": {"bin": cells, "soft": cells}}
        made = Ablation("a", ("landmarks", "smile"), 3, intact, failed)
        found = ablation.effects([made, made])
        assert [[cell.value for cell in row] for row in found] == [[0, 100, 0], [0, 0, -50]]
        assert found[0][0].low == found[0][0].high == 0
        assert ablation.effects([made], decoder="soft")[1][1].value == 100
        other = replace(made, tasks=("landmarks", "gender"))
        for given in ([], [made, other]):
            with pytest.raises(ValueError, match="tries of the same experiment"):
                ablation.effects(given)


def test_the_registry_says_which_methods_have_collaborative_blocks():
    assert ablating.collaborates(fake_record("DCNet"))
    assert hard_sharing("resnet18").mixer is not CollaborativeBlock
    assert not any(map(ablating.collaborates, map(fake_record, ("RN", "XS", "NDDR", "Sluice"))))
