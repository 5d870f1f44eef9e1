"""Readers of files that a test has just written."""

import warnings

import pytest
from gltf_files import Gltf

from recon.core.mesh import TexturedMesh
from recon.io.meshes.files import load_mesh


@pytest.fixture
def read(tmp_path):
    def call(gltf: Gltf, name: str = "m.glb") -> TexturedMesh:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # nothing is lost
            return load_mesh(gltf.save(tmp_path / name))

    return call
