"""The benchmark: known scores of known predictions, and the whole way on tiny networks."""

import json
import math
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from diffusers import FlowMatchEulerDiscreteScheduler

from mvdiff.data.sources.packs import MeshPack
from mvdiff.evaluation.config import EvaluationConfig
from mvdiff.evaluation.jobs.cases import Case, score
from mvdiff.evaluation.jobs.objects import ObjectSet, View, photograph
from mvdiff.evaluation.jobs.records import Records
from mvdiff.evaluation.protocols.shape import Frame
from mvdiff.evaluation.summary import _AVERAGED, KEYS, summarise, table
from mvdiff.models import MultiViewTransformer, PhotoCameraEstimator
from mvdiff.pipelines import MultiViewDiffusionPipeline
from mvdiff.sampling.photo_camera import PhotoCamera
from mvdiff.sampling.rig import RigConfig
from mvdiff.sampling.sampler import Sampled
from recon import TexturedMesh
from recon.core.errors import InputError
from recon.io.meshes.files import save_mesh
from recon.posterior import Hypothesis, PosteriorConfig
from recon.rendering import render_mesh

POSTERIOR = PosteriorConfig(grid=32, samples=512)


def chair() -> TexturedMesh:
    """Asymmetric in every direction: a seat, a back at -Z, one arm at +X, each in its own color."""
    parts = [
        (trimesh.creation.box((0.6, 0.15, 0.5)), (0, 0, 0), (200, 60, 40)),
        (trimesh.creation.box((0.6, 0.6, 0.1)), (0, 0.35, -0.2), (40, 160, 60)),
        (trimesh.creation.box((0.1, 0.25, 0.4)), (0.25, 0.2, 0.05), (50, 70, 200)),
    ]
    meshes, colors = [], []
    for mesh, shift, color in parts:
        mesh.apply_translation(shift)
        meshes.append(mesh.subdivide())
        colors += [color] * len(meshes[-1].vertices)
    joined = trimesh.util.concatenate(meshes)
    return TexturedMesh.from_arrays(joined.vertices, joined.faces, np.array(colors) / 255).normalized()


def ball() -> TexturedMesh:
    sphere = trimesh.creation.icosphere(3, 0.5)
    return TexturedMesh.from_arrays(sphere.vertices, sphere.faces, np.full((len(sphere.vertices), 3), 0.6))


def turned(degrees: float) -> torch.Tensor:
    return Frame(degrees, 1.0).from_photo


def case(predict, count: int = 1, view: View | None = None) -> Case:
    """A chair whose hypothesis k is ``predict(k, the chair as the photo sees it)``."""
    truth, view = chair(), view or View(azimuth=70.0, elevation=15.0, seed=3)
    in_photo = truth.transformed(turned(-view.azimuth))
    rig = RigConfig(azimuths=(90.0, 210.0), elevations=(20.0, -10.0), size=64)
    hypotheses = []
    for k in range(count):
        mesh = predict(k, in_photo)
        views = render_mesh(mesh, rig.cameras(torch.tensor([view.elevation]))[0])
        hypotheses.append(Hypothesis(mesh, seed=k, elevation=view.elevation + 2, residual=0.1 * k, views=views))
    return Case("chair", view, truth, photograph(truth, view), hypotheses, slice(1, None), {"sample": 1.0})


def test_the_truth_itself_scores_perfectly():
    entry = score(case(lambda k, mesh: mesh), "p1")
    assert entry["cd"][0] < 1e-3
    assert entry["cd_hidden"][0] < 1e-3
    assert entry["fscore"][0] > 0.999
    assert entry["iou"][0] > 0.98
    assert entry["normal_consistency"][0] > 0.98
    assert entry["mask_iou"][0] > 0.99
    assert entry["psnr"][0] > 35
    assert entry["ssim"][0] > 0.98
    assert entry["drawn_elevation"] == [17.0]


@pytest.mark.parametrize("degrees", [-90, 180])
def test_a_turned_prediction_does_not_and_alignment_brings_it_back(degrees):
    entry = score(case(lambda k, mesh: mesh.transformed(turned(degrees))), "p1")
    assert entry["cd"][0] > 0.03
    assert entry["iou"][0] < 0.7
    assert entry["fscore"][0] < 0.9
    assert entry["psnr"][0] < 25
    assert entry["cd_aligned"][0] < 0.012


def test_a_prediction_in_the_wrong_size_is_not_excused():
    larger = torch.diag(torch.tensor([1.2, 1.2, 1.2, 1.0]))
    entry = score(case(lambda k, mesh: mesh.transformed(larger)), "p1")
    assert entry["cd"][0] > 0.015
    assert entry["cd_aligned"][0] < 0.5 * entry["cd"][0]


def test_an_error_on_the_hidden_side_is_found_there():
    def without_back(k: int, mesh: TexturedMesh) -> TexturedMesh:
        low, high = mesh.bounds
        squeezed = mesh.vertices.clone()
        squeezed[:, 2] = squeezed[:, 2].clamp_min(float(high[2] - 0.6 * (high[2] - low[2])))
        return replace(mesh, vertices=squeezed)

    entry = score(case(without_back), "p1", align=False)
    assert entry["cd_hidden"][0] > 2 * entry["cd_visible"][0]


def test_an_empty_hypothesis_counts_and_breaks_nothing():
    empty = TexturedMesh(torch.zeros(0, 3), torch.zeros(0, 3).long())
    entry = score(case(lambda k, mesh: mesh if k else empty, count=3), "p2", POSTERIOR, align=False)
    assert entry["empty"] == 1
    assert entry["iou"][0] == 0.0
    assert entry["cd"][0] > 0.1
    assert entry["distribution"]["energy_score"] < 0.01  # of the two that are there


def test_equal_hypotheses_have_no_spread_and_different_ones_do():
    def stretched(k: int, mesh: TexturedMesh) -> TexturedMesh:
        return mesh.transformed(torch.diag(torch.tensor([1.0, 1.0, 0.7 + 0.3 * k, 1.0])))

    same = score(case(lambda k, mesh: stretched(0, mesh), count=2), "p2", POSTERIOR, align=False)["distribution"]
    assert same["diversity"] == pytest.approx(0, abs=1e-6)
    assert same["energy_score"] == pytest.approx(same["energy_score_single"], rel=1e-5)
    assert same["undecided"]["voxels"] == 0
    # Where all agree the shell has no width: only a fine grid tells its side of the truth from the other.
    spread = score(case(stretched, count=3), "p2", replace(POSTERIOR, grid=96), align=False)["distribution"]
    assert spread["diversity"] > 0.02
    assert spread["energy_score"] < spread["energy_score_single"]
    assert spread["energy_score_medoid"] < spread["energy_score_single"]  # the medoid is the truth, the first is not
    assert spread["undecided"]["voxels"] > 100
    assert 0 < spread["width_50"] <= spread["width_90"]
    assert spread["coverage_50"] <= spread["coverage_90"]
    assert spread["coverage_90"] > 0.8


def test_reference_views_are_fixed_per_object():
    views = [View.of(f"object{k}", seed=0) for k in range(300)]
    assert View.of("object7", seed=0) == views[7]
    assert View.of("object7", seed=1) != views[7]
    assert len({view.seed for view in views}) == 300
    assert 0 <= min(view.elevation for view in views) < 1
    assert 29 < max(view.elevation for view in views) <= 30
    assert np.mean([view.azimuth for view in views]) == pytest.approx(180, abs=20)


def test_the_photo_shows_the_side_it_is_taken_from():
    # From +X (azimuth 90) the blue arm is seen in front; from -X (270) it is hidden.
    seen, hidden = (np.asarray(photograph(chair(), View(a, 0.0, 0), size=64)).astype(int) for a in (90.0, 270.0))
    blue = [((rgba[..., 2] > rgba[..., 0] + 60) & (rgba[..., 3] > 128)).sum() for rgba in (seen, hidden)]
    assert blue[0] > 1.5 * blue[1]
    assert seen[0, 0, 3] == 0


def test_objects_come_from_folders_and_packs(tmp_path: Path):
    save_mesh(chair(), tmp_path / "meshes" / "b.ply")
    save_mesh(ball(), tmp_path / "meshes" / "deep" / "a.obj")
    folder = ObjectSet(tmp_path / "meshes")
    assert folder.names == ["b", "deep/a"]
    assert float(folder.mesh(1).vertices.norm(dim=-1).amax()) == pytest.approx(0.5, abs=1e-4)
    assert ObjectSet(tmp_path / "meshes", limit=1).names == ["b"]
    MeshPack.write(tmp_path / "pack.npz", [("ball", ball()), ("chair", chair())])
    assert ObjectSet(tmp_path / "pack.npz").names == ["ball", "chair"]
    (tmp_path / "none").mkdir()
    for wrong in ("none", "missing", "meshes/b.ply"):
        with pytest.raises(InputError):
            ObjectSet(tmp_path / wrong)


def test_records_resume_drop_torn_lines_and_refuse_other_settings(tmp_path: Path):
    path = tmp_path / "r.jsonl"
    records = Records.open(path, {"seed": 0, "steps": (1, 2)})
    records.add({"name": "a", "cd": [1.0]})
    with path.open("a") as file:
        file.write('{"name": "b", "cd"')  # a crash in the middle of a line
    again = Records.open(path, {"seed": 0, "steps": (1, 2)})
    assert list(again.entries) == ["a"]
    again.add({"name": "c", "cd": [2.0]})
    assert list(Records.open(path, {"seed": 0, "steps": (1, 2)}).entries) == ["a", "c"]
    with pytest.raises(InputError, match="seed"):
        Records.open(path, {"seed": 1, "steps": (1, 2)})
    assert Records.open(path, {"seed": 1}, overwrite=True).entries == {}


def test_summary_has_all_agreed_keys_and_pools_calibration():
    one = score(case(lambda k, mesh: mesh, count=2), "p1", align=False)
    summary = summarise([one])
    assert set(KEYS) <= summary.keys()
    assert summary["cd_mean"] == pytest.approx(float(np.mean(one["cd"])))
    assert summary["energy_score"] is None
    assert summary["cd_best_of"].keys() == {"1", "2"}
    assert "chair" in table(summary, [one], "title", "command")
    bins = {
        "count": [10, 30],
        "predicted_sum": [2, 24],
        "observed_sum": [0, 27],
        "voxels": 40,
        "brier": 0.1,
        "nll": 0.3,
    }
    fields = dict.fromkeys(("undecided", "overall", "raw_undecided", "raw_overall"), bins)
    judged = one | {"distribution": fields | dict.fromkeys(_AVERAGED, 0.5), "baselines": {"one_step": 0.1}}
    pooled = summarise([judged, judged])
    # |2/10 - 0| and |24/30 - 27/30|, weighted 10 : 30.
    assert pooled["ece"] == pytest.approx(0.2 * 0.25 + 0.1 * 0.75)
    assert pooled["brier"] == pytest.approx(0.1)
    assert pooled["brier_reduction"] == pytest.approx(1 - 0.1 / 0.5)
    assert pooled["coverage_90_std"] == 0
    assert pooled["cd_one_step"] == pytest.approx(0.1)
    assert pooled["cd_mean_of_views"] is None


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """A tiny network's folder."""
    torch.manual_seed(0)
    transformer = MultiViewTransformer(sample_size=32, reference_size=32, width=64, depth=1, heads=2)
    estimator = PhotoCameraEstimator(sample_size=32, width=32, depth=1, heads=2)
    pipeline = MultiViewDiffusionPipeline(transformer, estimator, FlowMatchEulerDiscreteScheduler(shift=3.0))
    folder = tmp_path_factory.mktemp("weights")
    pipeline.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def meshes(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("meshes")
    save_mesh(chair(), folder / "chair.glb")
    save_mesh(ball(), folder / "ball.glb")
    return folder


def test_the_whole_way_and_its_resumption(weights, meshes, tmp_path):
    from mvdiff.evaluation.jobs.runner import evaluate
    from mvdiff.runs.loading import load_model

    config = EvaluationConfig(
        meshes,
        tmp_path / "results.json",
        "p2",
        num_hypotheses=2,
        num_inference_steps=2,
        preset="fast",
        limit=1,
        workers=0,
    )
    model = load_model(str(weights), "cpu", config.preset)
    model = replace(model, posterior=POSTERIOR)
    lines: list[str] = []
    first = evaluate(config, model, "command", lines.append)
    assert [entry["name"] for entry in first["objects"]] == ["ball"]
    assert set(KEYS) <= first["summary"].keys()
    assert first["summary"]["cd_mean"] > 0
    assert first["weights"]["sha256"]

    # More objects, in threads and batches: what is done is taken over as it is.
    more = replace(config, limit=None, workers=1, batch_objects=2)
    second = evaluate(more, model, "command", lines.append)
    assert [entry["name"] for entry in second["objects"]] == ["ball", "chair"]
    assert second["objects"][0] == first["objects"][0]
    assert sum("ball" in line for line in lines) == 1
    assert json.loads(config.output.read_text())["summary"] == second["summary"]
    assert "chair" in config.output.with_suffix(".md").read_text()
    assert config.output.with_suffix(".png").is_file()
    # Each in a process and on a thread of its own: the same but for the order of sums.
    apart = replace(config, output=tmp_path / "apart.json", limit=None, processes=2, weights=str(weights), device="cpu")
    third = evaluate(apart, model, "command", lines.append)
    assert [entry["name"] for entry in third["objects"]] == ["ball", "chair"]
    known = {name: value for name, value in second["summary"].items() if isinstance(value, float)}
    assert {"cd_mean", "psnr", "mask_iou"} < known.keys()
    for name in known.keys() - {"seconds_per_object"}:
        assert third["summary"][name] == pytest.approx(known[name], rel=1e-3, abs=1e-2), name
    with pytest.raises(InputError, match="weights that the settings name"):
        evaluate(replace(apart, output=tmp_path / "other.json", weights="embedded"), model)
    with pytest.raises(InputError, match="num_inference_steps"):
        evaluate(replace(config, num_inference_steps=3), model)
    info = replace(model.sampler.info, weights=model.weights | {"lora_sha256": "0123"})
    model = replace(model, sampler=replace(model.sampler, info=info))  # with an adapter it is another model
    with pytest.raises(InputError, match="lora"):
        evaluate(more, model)


def test_an_adapter_reaches_the_model_that_is_judged(weights, meshes, tmp_path):
    arguments = ["--meshes", meshes, "--weights", weights, "--lora", tmp_path / "lora.safetensors", "--device", "cpu"]
    main = runpy.run_path(str(Path(__file__).parents[3] / "tools" / "evaluate.py"))["main"]
    with pytest.raises(InputError, match="no LoRA file"):
        main([*map(str, arguments), "--output", str(tmp_path / "results.json")])


def test_textures_show_each_object_its_own_photo(weights, meshes, tmp_path, monkeypatch):
    """Two objects in one batch, as the main job makes each alone; their details are of different sizes."""
    from mvdiff.evaluation.jobs.jobs import make_cases
    from mvdiff.runs.loading import load_model

    config = EvaluationConfig(meshes, tmp_path / "results.json", "p1", num_hypotheses=1)
    model, objects = load_model(str(weights), "cpu", "fast"), ObjectSet(meshes)
    rig = RigConfig(azimuths=(0.0, 120.0, 240.0), elevations=(20.0, 20.0, -10.0), size=48)

    def true_views(prepared, generation):
        (index,) = [k for k, name in enumerate(objects.names) if View.of(name, 0).seed == generation.seed]
        view = View.of(objects.names[index], 0)
        seen = objects.mesh(index).transformed(turned(-view.azimuth))
        gray = replace(seen, colors=torch.full_like(seen.vertices, 0.5), uv=None, texture=None)
        parameters = torch.tensor([[math.radians(view.elevation), *prepared.crop_parameters()]])
        views = render_mesh(gray, rig.cameras(torch.tensor([view.elevation]))[0])
        return Sampled(views, PhotoCamera.from_parameters(parameters))

    monkeypatch.setattr(type(model), "sample", staticmethod(true_views))
    for case in make_cases(config, model, objects, [0, 1]):
        generation = config.generation(case.view.seed)
        prepared = model.prepare(case.reference, generation)
        views, cameras = model.sample(prepared, generation)
        (alone,) = model.reconstruct(views, cameras, generation, prepared)
        (bare,) = model.reconstruct(views, cameras, generation)
        made = case.hypotheses[0].mesh.texture
        assert (made - alone.mesh.texture).abs().mean() < 1e-3
        if case.name == "chair":  # the ball has one color, which its light explains
            assert (made - bare.mesh.texture).abs().mean() > 1e-2


@pytest.mark.parametrize(
    "change", [{"limit": 0}, {"num_hypotheses": 1, "protocol": "p2"}, {"num_hypotheses": 0}, {"output": Path("r.txt")}]
)
def test_settings_that_cannot_be_used(change, meshes):
    with pytest.raises(InputError):
        EvaluationConfig(meshes, **change).check()


@pytest.mark.parametrize("part", ["job", "sample"])
def test_benchmark_says_what_each_stage_costs(part, tmp_path):
    from mvdiff.evaluation.benchmarks.job import BenchmarkConfig, benchmark
    from mvdiff.evaluation.benchmarks.job import table as cost_table

    config = BenchmarkConfig(
        num_hypotheses=(2, 1),
        repeats=1,
        warmup=0,
        device="cpu",
        num_inference_steps=2,
        output=tmp_path / "cost.json",
    )
    result = benchmark(part, config, "command")
    assert [run["num_hypotheses"] for run in result["results"]] == [1, 2]
    for run in result["results"]:
        stages = {name: value for name, value in run["seconds"].items() if name != "total"}
        assert all(value > 0 for value in stages.values())
        assert sum(stages.values()) <= run["seconds"]["total"] + 0.01
        assert 0.1 < run["memory_gb"] < 16
    assert json.loads(config.output.read_text()) == result
    assert "| total, s |" in cost_table(result)


def test_reconstruction_benchmark_scores_and_times_known_objects(tmp_path, capsys):
    from mvdiff.evaluation.benchmarks.reconstruction import benchmark_reconstruction, reconstruction_table
    from mvdiff.evaluation.benchmarks.reconstruction_config import ReconstructionBenchmarkConfig

    save_mesh(chair(), tmp_path / "meshes" / "chair.ply")
    config = ReconstructionBenchmarkConfig(
        meshes=tmp_path / "meshes",
        size=48,
        preset="fast",
        device="cpu",
        num_hypotheses=(2,),
        repeats=1,
        output=tmp_path / "recon.json",
    )
    result = benchmark_reconstruction(config, "command")
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines[-2:]] == ["warm-up N = 2", "run N = 2"]
    true = result["quality"]["fast"]
    assert true["cd"] < 0.03
    assert true["watertight"] == true["manifold"] == 1.0
    assert result["cost"][0]["seconds"]["total"] >= result["cost"][0]["seconds"]["texture"] > 0
    assert json.loads(config.output.read_text()) == result
    assert "| cd | " in reconstruction_table(result)

    wrong = benchmark_reconstruction(replace(config, source="inconsistent", num_hypotheses=(), output=None))
    assert wrong["quality"]["fast"]["cd"] > true["cd"]
    assert wrong["quality"]["fast"]["residual"] > true["residual"]


def test_the_stated_spread_is_that_of_other_draws() -> None:
    from mvdiff.evaluation.summary import _seed_spread

    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(2000, 5, 8, generator=generator, dtype=torch.float64) * torch.linspace(0.2, 3, 5)[:, None]
    stated = torch.tensor([_seed_spread(each.tolist()) for each in drawn])
    assert abs(float(stated.square().mean().sqrt() / drawn.mean((1, 2)).std()) - 1) < 0.05
    assert _seed_spread([[1.0], [2.0, None]]) is None  # one hypothesis says nothing of others


@pytest.mark.parametrize(
    ("wanted", "named", "expected"),
    [
        ("cuda", None, ("0", "1")),
        ("auto", "3,GPU-7e", ("3", "GPU-7e")),
        ("cuda:1", None, ()),
        ("cpu", "0,1", ()),
    ],
)
def test_processes_share_out_the_gpus_that_this_one_may_use(wanted, named, expected, monkeypatch) -> None:
    from mvdiff.evaluation.jobs.jobs import visible_devices

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if named:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert visible_devices(wanted) == expected
