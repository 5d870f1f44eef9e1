"""glTF 2.0 as its files state it: container, accessors, scene, materials."""

from recon.io.meshes.gltf_reader.parts import read_gltf

__all__ = ["read_gltf"]
