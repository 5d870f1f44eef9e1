"""A photo projected onto a mesh: observed where it looks, flagged elsewhere."""

import torch
import trimesh

from recon.core.cameras import Cameras
from recon.core.mesh import TexturedMesh
from recon.rendering import render_mesh
from recon.surface.projection import project_photo
from recon.surface.texture import TextureConfig


def test_the_seen_side_has_the_photos_colors_and_the_other_is_flagged() -> None:
    made = trimesh.creation.icosphere(4, 0.4)
    vertices = torch.tensor(made.vertices).float()
    left = vertices[:, 0] < 0
    colors = torch.where(left[:, None], torch.tensor([0.9, 0.2, 0.1]), torch.tensor([0.1, 0.3, 0.9]))
    ball = TexturedMesh(vertices, torch.tensor(made.faces), colors)
    photo = render_mesh(ball, Cameras.orbit([0.0], 0.0, size=128))
    painted = project_photo(TexturedMesh(vertices, ball.faces), photo, TextureConfig(size=256))
    unseen, height = painted.attributes["unseen"], vertices[:, 2] / 0.4
    assert not unseen[height > 0.6].any()
    assert unseen[height < 0.1].all()
    assert set(unseen.tolist()) == {0.0, 1.0}
    again = render_mesh(painted, Cameras.orbit([0.0], 0.0, size=128))
    inside = (photo.alpha > 0.99) & (again.alpha > 0.99)
    assert float((photo.rgb - again.rgb).abs()[inside.expand_as(photo.rgb)].mean()) < 0.02
    behind = render_mesh(painted, Cameras.orbit([180.0], 0.0, size=128))
    assert float(behind.rgb[behind.alpha.expand_as(behind.rgb) > 0.99].mean()) > 0.2  # colors run on, none is black
