"""Records that are replaced while training runs."""

import numpy as np
import torch

from mvdiff.data.procedural import AMBIGUOUS, make_ambiguous
from mvdiff.data.render.jobs import Photographers, Shot, StoreRefresher, fill_store, procedural_sources, record_seed
from mvdiff.data.render.record import RecordConfig

CONFIG = RecordConfig(size=32, references=2, ring_views=6, supersample=1)


def refreshed_store(workers: int, steps: int, count: int = 1):
    sources = procedural_sources(range(1000, 1004))
    photographers = Photographers(CONFIG, "cpu", workers)
    store, kept = fill_store(photographers, [Shot(s, record_seed(0, i, 0), False) for i, s in enumerate(sources)])
    before = store.targets.clone()
    refresher = StoreRefresher(store, kept, photographers, seed=3, first_new_seed=2000)
    for _ in range(steps):
        refresher.refresh(count)
    return before, store, refresher


def test_without_workers_every_step_replaces_its_records_and_can_be_repeated():
    before, store, refresher = refreshed_store(0, steps=4, count=2)
    assert refresher.count == 8
    changed = [not torch.equal(a, b) for a, b in zip(before, store.targets, strict=True)]
    assert sum(changed) >= 2
    _, again, _ = refreshed_store(0, steps=4, count=2)
    assert torch.equal(store.targets, again.targets)
    assert torch.equal(store.reference_parameters, again.reference_parameters)


def test_procedural_objects_are_replaced_by_others():
    _, _, refresher = refreshed_store(0, steps=0)
    shots = [refresher._shot(number)[1] for number in range(20)]
    seeds = [shot.source.index for shot in shots]
    assert min(seeds) >= 2000
    assert len(set(seeds)) == 20
    assert 0 < sum(shot.warp for shot in shots) < 20


def test_workers_replace_records_without_being_waited_for():
    before, store, refresher = refreshed_store(1, steps=1)
    assert refresher.count <= 1  # the first is hardly ready at once; nothing waits for it
    for future in [future for _, future in refresher._waiting]:
        future.result(timeout=120)
    refresher.refresh(3)
    refresher.photographers.close()
    assert refresher.count >= 3
    assert not torch.equal(before, store.targets)


def test_ambiguous_objects_are_replaced_by_ambiguous_ones():
    sources = procedural_sources(range(1000, 1002)) + procedural_sources(range(1000, 1002), ambiguous=True)
    assert [source.name.split("/")[0] for source in sources] == ["procedural"] * 2 + ["ambiguous"] * 2
    photographers = Photographers(CONFIG, "cpu", 0)
    store, kept = fill_store(photographers, [Shot(s, record_seed(0, i, 0), False) for i, s in enumerate(sources)])
    refresher = StoreRefresher(store, kept, photographers, seed=3, first_new_seed=2000)
    for index, shot in map(refresher._shot, range(30)):
        assert shot.source.ambiguous == (index >= 2)
        assert shot.source.index >= 2000


def test_the_families_of_an_ambiguous_object_hide_something():
    made = [make_ambiguous(seed) for seed in range(40)]
    assert {thing.family for thing in made} == set(AMBIGUOUS)
    assert all(thing.hidden is not None for thing in made)
    mesh = procedural_sources(range(8, 9), ambiguous=True)[0].load()
    assert torch.equal(mesh.vertices, made[8].mesh.vertices)


def test_what_the_front_does_not_show_is_drawn_from_what_it_leaves_open():
    """As if objects had been drawn from the prior until the photo did not show the attribute."""
    made = [make_ambiguous(seed, unseen=True) for seed in range(400)]
    assert not any(thing.hidden.seen() for thing in made)
    kept = [thing for seed in range(400) if not (thing := make_ambiguous(seed)).hidden.seen()]
    same = {thing.seed: thing.hidden.value for thing in made}
    assert all(same[thing.seed] == thing.hidden.value for thing in kept)
    mugs = [thing.hidden for thing in made if thing.family == "hidden_handle_mug"]
    there = np.mean([hidden.value is not None for hidden in mugs])
    truth = np.mean([1 - hidden.condition().atoms[0][1] for hidden in mugs])
    assert abs(there - truth) < 3 * (truth * (1 - truth) / len(mugs)) ** 0.5


def test_ambiguous_objects_show_their_front_where_that_hides_something():
    sources = procedural_sources(range(4, 6), ambiguous=True)
    assert [source.faces_camera for source in sources] == [False, True]
    shots = [Shot(source, record_seed(0, 0, 0), False) for source in sources]
    azimuths = [record.reference_parameters[:, 0] for _, record in Photographers(CONFIG, "cpu", 0).take_all(shots)]
    assert azimuths[0].abs().max() > 8
    assert azimuths[1].abs().max() <= 8
