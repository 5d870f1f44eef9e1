"""What a run trains and validates on: own data sets, packs and folders."""

import pytest
import torch
from training_runs import SIZES

from mvdiff.data.dataset import render_dataset
from mvdiff.data.procedural import make
from mvdiff.data.render.config import RenderDataset
from mvdiff.data.render.record import RecordConfig
from mvdiff.data.sources.packing import PackMeshes, pack_meshes
from mvdiff.training.config import TrainConfig
from mvdiff.training.data import held_out, load_data
from mvdiff.training.trainer import Trainer
from recon.core.errors import InputError
from recon.io.meshes.files import save_mesh


def test_held_out_objects_are_not_trained_on(config, views):
    data = load_data(config.data, 0, torch.device("cpu"))
    assert (len(data.store), len(data.validation)) == (8, 4)
    assert not set(data.store.names) & set(data.validation.names)
    assert data.licences == {"Apache-2.0": 12}


def test_licences_of_packs_and_folders_reach_the_card(tmp_path):
    """A pack's come from the manifest beside it."""
    for name in ("a", "b", "c"):
        save_mesh(make(0, "bowl").mesh, tmp_path / "meshes" / f"{name}.ply")
    (tmp_path / "credits.csv").write_text("name,licence\na,CC0-1.0\nb,CC-BY-4.0\n")
    pack = PackMeshes((tmp_path / "meshes",), tmp_path / "pack.npz", credits=tmp_path / "credits.csv")
    pack_meshes(pack)
    config = TrainConfig().data
    config.packs, config.procedural = [str(tmp_path / "pack.npz"), str(tmp_path / "meshes")], 1
    config.record = RecordConfig(**SIZES)
    data = load_data(config, 0, torch.device("cpu"))
    assert data.licences == {"unknown": 4, "CC0-1.0": 1, "CC-BY-4.0": 1, "Apache-2.0": 1}
    assert data.store.names == ["a", "b", "c", "a", "b", "c", "procedural/1000000"]


def test_few_objects_are_held_out_of_few():
    assert [sum(held_out(count, 64)) for count in (0, 3, 4, 12, 100, 640, 6400)] == [0, 0, 1, 4, 4, 10, 100]


def test_pictures_of_another_size_than_the_model_s_are_refused(config, tmp_path):
    list(render_dataset(RenderDataset(output=tmp_path / "small", procedural=1, **(SIZES | {"size": 16}))))
    config.data.stores = [str(tmp_path / "small")]
    with pytest.raises(InputError, match="--size 32"):
        Trainer(config)
